//! An answer before it is HTTP.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::reply::Reply;
use super::status::Status;

/// Code, headers and body.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) content_type: &'static str,
    pub(super) retry_after: Option<u64>,
    pub(super) body: Reply,
}

impl Answer {
    pub(super) fn json(code: u16, body: impl Into<Bytes>) -> Answer {
        Answer {
            code,
            content_type: "application/json",
            retry_after: None,
            body: Reply::whole(body),
        }
    }

    pub(super) fn text(code: u16, body: &'static str) -> Answer {
        Answer {
            content_type: "text/plain; charset=utf-8",
            ..Answer::json(code, body)
        }
    }

    pub(super) fn http(self) -> Response<Reply> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Answer {
        Answer::json(status.code, status.json())
    }
}
