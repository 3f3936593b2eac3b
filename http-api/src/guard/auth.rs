//! The operator token: whoever has it may do everything on this node.

use axum::{
    extract::{Request, State},
    http::header::AUTHORIZATION,
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Refused, refuse};

/// The operator token, as its hash: the token itself is in its file and nowhere else.
#[derive(Clone)]
pub struct OperatorToken([u8; 32]);

impl OperatorToken {
    /// Takes note of the token.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.trim()).into())
    }

    /// Compares in constant time: hashes of equal length, so neither length nor common beginnings
    /// can be measured.
    fn is(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&given).into()
    }

    fn opens(&self, request: &Request) -> bool {
        let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let Some((scheme, token)) = header.and_then(|header| header.split_once(' ')) else { return false };
        scheme.eq_ignore_ascii_case("bearer") && self.is(token.trim())
    }
}

/// Lets through what carries the operator token.
pub(crate) async fn operator_only(
    State(token): State<OperatorToken>,
    request: Request,
    next: Next,
) -> Response {
    if token.opens(&request) { next.run(request).await } else { refuse(&request, &Refused::Token) }
}
