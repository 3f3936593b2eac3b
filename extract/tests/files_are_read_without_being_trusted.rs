//! Real files, good and evil, through the real process that reads them (W-105).
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Seek, Write};

use muster_extract::{ContentType, Extraction, Extractor, Outcome};
use muster_protocol::limits::{EXTRACT_PLAIN_BYTES_MAX, EXTRACT_TEXT_BYTES_MAX};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

async fn read(name: &str, bytes: &[u8]) -> Outcome {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let program = env!("CARGO_BIN_EXE_muster-extract-child").into();
    Extractor::new(program).extract(file, name, "application/octet-stream").await
}

async fn found(name: &str, bytes: &[u8]) -> Extraction {
    match read(name, bytes).await {
        Outcome::Completed(found) => *found,
        other => panic!("{name}: {other:?}"),
    }
}

async fn failure(name: &str, bytes: &[u8]) -> String {
    match read(name, bytes).await {
        Outcome::Failed(why) => why.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(document: &str) -> Vec<u8> {
    archive(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", document.as_bytes())])
}

fn pdf(words: &str) -> Vec<u8> {
    let content = format!("BT /F1 24 Tf 72 700 Td ({words}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let (mut file, mut places) = (String::from("%PDF-1.4\n"), Vec::new());
    for (index, object) in objects.iter().enumerate() {
        places.push(file.len());
        file += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let table = file.len();
    file += "xref\n0 6\n0000000000 65535 f \n";
    places.iter().for_each(|place| file += &format!("{place:010} 00000 n \n"));
    file += &format!("trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    file.into_bytes()
}

#[tokio::test]
async fn texts_say_what_they_are_w105() {
    let notes =
        found("notes.md", b"# Release **1.0**\n\nIt works.\n\n```\n# no heading\n```\n## Next\n").await;
    assert_eq!(notes.content_type, ContentType::Document);
    assert!(notes.summary.starts_with("Release 1.0 It works."), "{}", notes.summary);
    let sections = &notes.text_metadata.unwrap()["sections"];
    assert_eq!(sections.as_array().unwrap().len(), 2, "{sections}");

    let table = found("people.csv", b"name;city\n\"ada\";\"London; UK\"\nbob;Paris\n").await;
    assert_eq!(table.content_type, ContentType::Table);
    let data = table.structured_data.unwrap();
    assert_eq!((&data["rowCount"], &data["rows"][0][1]), (&2.into(), &"London; UK".into()));

    let json = found("config.json", br#"{"port": 1, "name": "x"}"#).await;
    assert_eq!(json.structured_data.unwrap()["port"], 1);
    let page = found("page.html", b"<!DOCTYPE html><html><title>A page</title><p>Hello</html>").await;
    assert_eq!((page.summary.as_str(), page.full_text.as_deref()), ("A page", Some("Hello")));
    let wide = found("wide.txt", b"\xff\xfeh\0i\0").await;
    assert_eq!(wide.full_text.as_deref(), Some("hi"));
    assert_eq!(found("empty.txt", b"").await.full_text, None);
}

#[tokio::test]
async fn what_says_nothing_is_skipped_w103() {
    assert_eq!(
        read("photo.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01").await,
        Outcome::Skipped
    );
    assert_eq!(read("program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0").await, Outcome::Skipped);
    assert_eq!(read("files.zip", &archive(&[("a.txt", b"hello")])).await, Outcome::Skipped);
}

#[tokio::test]
async fn office_files_and_pdfs_are_read_in_their_process_w105() {
    let paragraph = |words: &str| format!("<w:p><w:r><w:t>{words}</w:t></w:r></w:p>");
    let document = format!(
        "<w:document><w:body>{}{}</w:body></w:document>",
        paragraph("Minutes of &amp; plans"),
        paragraph("Second")
    );
    let word = found("minutes.docx", &docx(&document)).await;
    assert_eq!(word.full_text.as_deref(), Some("Minutes of & plans\nSecond"));
    assert_eq!(word.word_metadata.unwrap()["wordCount"], 5);

    let sheet =
        "<worksheet><sheetData><row><c t=\"s\"><v>1</v></c><c><v>42</v></c></row></sheetData></worksheet>";
    let workbook = archive(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("xl/workbook.xml", b"<workbook><sheets><sheet name=\"Costs\" sheetId=\"1\"/></sheets></workbook>"),
        ("xl/sharedStrings.xml", b"<sst><si><t>zero</t></si><si><t>Servers</t></si></sst>"),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ]);
    let excel = found("costs.xlsx", &workbook).await;
    assert_eq!(
        (excel.content_type, excel.summary.as_str()),
        (ContentType::Table, "A workbook of 1 sheet: Costs")
    );
    assert_eq!(excel.full_text.as_deref(), Some("Costs\nServers\t42"));

    let slide = |words: &str| format!("<p:sld><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:sld>");
    let (one, two) = (slide("First"), slide("Tenth"));
    let slides = archive(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("ppt/slides/slide10.xml", two.as_bytes()),
        ("ppt/slides/slide2.xml", one.as_bytes()),
    ]);
    assert_eq!(found("talk.pptx", &slides).await.full_text.as_deref(), Some("First\n\nTenth"));

    let open = "<office:document-content><text:h>Title</text:h><text:p>One<text:s/>two</text:p></office:document-content>";
    let open = archive(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("content.xml", open.as_bytes()),
    ]);
    assert_eq!(found("letter.odt", &open).await.full_text.as_deref(), Some("Title\nOne two"));

    let paper = found("paper.pdf", &pdf("Hello paper")).await;
    assert_eq!(paper.full_text.as_deref(), Some("Hello paper"));
    assert_eq!(paper.pdf_metadata.unwrap()["totalPages"], 1);
}

#[tokio::test]
async fn a_zip_bomb_is_not_unpacked() {
    let bomb = vec![b'a'; 24 * 1024 * 1024];
    assert!(
        failure("bomb.docx", &docx(std::str::from_utf8(&bomb).unwrap()))
            .await
            .contains("unpacks to far more")
    );
    let names: Vec<String> = (0..10_001).map(|index| format!("xl/worksheets/sheet{index}.xml")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    assert!(failure("many.xlsx", &archive(&entries)).await.contains("too many entries"));
}

#[tokio::test]
async fn entities_of_a_document_do_not_multiply() {
    let lol =
        "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><w:p><w:t>&b;end</w:t></w:p>";
    assert_eq!(found("lol.docx", &docx(lol)).await.full_text.as_deref(), Some("end"));
}

#[tokio::test]
async fn a_malformed_pdf_fails_and_nothing_else_does() {
    failure("broken.pdf", b"%PDF-1.7\nnothing of the kind").await;
    // Whatever its parser makes of it, it ends, and says no more than that.
    for cut in [40, 200, 400, 500] {
        let bytes = pdf("Hello");
        read("cut.pdf", &bytes[..cut.min(bytes.len())]).await;
    }
    let deep =
        format!("%PDF-1.4\n1 0 obj\n{}\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF", "[".repeat(2_000_000));
    failure("deep.pdf", deep.as_bytes()).await;
    assert_eq!(found("after.pdf", &pdf("Still here")).await.full_text.as_deref(), Some("Still here"));
}

#[tokio::test]
async fn a_huge_line_and_a_deep_page_are_cut() {
    let line = "x,".repeat(4 * EXTRACT_PLAIN_BYTES_MAX);
    let table = found("huge.csv", line.as_bytes()).await;
    assert_eq!(table.full_text.map(|text| text.len()), Some(EXTRACT_TEXT_BYTES_MAX));
    let metadata = table.text_metadata.unwrap();
    assert_eq!((&metadata["truncated"], &metadata["totalBytes"]), (&true.into(), &line.len().into()));
    let page = found("deep.html", format!("<html>{}deep", "<div>".repeat(100_000)).as_bytes()).await;
    assert_eq!(page.full_text.as_deref(), Some("deep"));
    let data = found("deep.json", "[".repeat(500_000).as_bytes()).await;
    assert_eq!(data.structured_data, None);
}

#[tokio::test]
async fn a_process_that_writes_too_much_or_nonsense_is_no_extraction() {
    let file = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&pdf("Hello")).unwrap();
        file.rewind().unwrap();
        file
    };
    for program in ["/usr/bin/yes", "/bin/true", "/nowhere"] {
        let outcome = Extractor::new(program.into()).extract(file(), "x.pdf", "").await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{program}: {outcome:?}");
    }
}
