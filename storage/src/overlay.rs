//! A file that is looked at and never changed: what is written to it stays in memory.
//!
//! A store that was not closed has to be repaired before it can be read, also when it is only read to
//! learn that a newer program made it and that it is not ours to change.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Mutex,
};

use redb::StorageBackend;

use crate::writer::lock;

/// Bytes that are copied when one of them is written.
const PAGE_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Overlay(Mutex<State>);

#[derive(Debug)]
struct State {
    file: File,
    length: u64,
    /// Pages that were written to, by number.
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Overlay {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self(Mutex::new(State { file, length, pages: BTreeMap::new() })))
    }
}

impl State {
    /// A page as it is now; zeros beyond the end.
    fn page(&mut self, number: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Vec::with_capacity(PAGE_BYTES);
        self.file.seek(SeekFrom::Start(number * PAGE_BYTES as u64))?;
        Read::by_ref(&mut self.file).take(PAGE_BYTES as u64).read_to_end(&mut page)?;
        page.resize(PAGE_BYTES, 0);
        page.into_boxed_slice()
            .try_into()
            .map_err(|_| io::Error::other("a page has another size than was read"))
    }

    /// Calls `part` with each page that `length` bytes from `offset` on touch: its number, where in it
    /// they begin, where in the bytes, and how many.
    fn each(
        &mut self,
        offset: u64,
        length: usize,
        mut part: impl FnMut(&mut Self, u64, usize, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let start = (at % PAGE_BYTES as u64) as usize;
            let count = (PAGE_BYTES - start).min(length - done);
            part(self, at / PAGE_BYTES as u64, start, done, count)?;
            done += count;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        lock(&self.0).each(offset, out.len(), |state, number, start, done, count| {
            out[done..done + count].copy_from_slice(&state.page(number)?[start..start + count]);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        lock(&self.0).length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        lock(&self.0).each(offset, data.len(), |state, number, start, done, count| {
            let mut page = state.page(number)?;
            page[start..start + count].copy_from_slice(&data[done..done + count]);
            state.pages.insert(number, page);
            Ok(())
        })
    }
}
