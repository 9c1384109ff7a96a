//! The frame of a `multipart/byteranges` body (RFC 9110 §14.6): everything but the bytes of the content.

use super::span::Span;

/// The frame around the parts of one answer: write [`head`](Self::head) of each part before its bytes and
/// [`end`](Self::end) after the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    spans: Vec<Span>,
    size: u64,
}

impl Multipart {
    /// `boundary`: at most 70 letters and digits that the content cannot be expected to hold (random ones).
    #[must_use]
    pub fn new(spans: Vec<Span>, size: u64, boundary: String) -> Self {
        Self {
            boundary,
            spans,
            size,
        }
    }

    /// The parts, in the order asked.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The value of `Content-Type` for the whole body.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The value of `Content-Length` for the whole body.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        let parts: u64 = self
            .spans
            .iter()
            .map(|span| self.head(*span).len() as u64 + span.len())
            .sum();
        parts + self.end().len() as u64
    }

    /// What stands before the bytes of a part.
    #[must_use]
    pub fn head(&self, span: Span) -> String {
        format!(
            "\r\n--{}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n\r\n",
            self.boundary,
            span.content_range(self.size)
        )
    }

    /// What stands after the last part.
    #[must_use]
    pub fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }
}
