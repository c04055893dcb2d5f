//! What a failed call to an object store means, and how it is told without its secrets.
//!
//! The client says what went wrong in a few variants and, below them, in text only: the status and
//! the body of the answer are read out of that. Of a body no more is told than the store's own code
//! and message; URLs lose their users and queries.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

use crate::error::{Code, Error};

/// The longest message of a store that is repeated.
const MESSAGE_CHARS_MAX: usize = 240;

/// Words that no message may hold.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// A word shorter than this is no secret worth the name, and would tear other words apart.
    const CHARS_MIN: usize = 6;

    pub(super) fn new(words: impl IntoIterator<Item = String>) -> Self {
        Self(words.into_iter().filter(|word| word.len() >= Self::CHARS_MIN).collect())
    }

    pub(super) fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, word| text.replace(word.as_str(), "…"))
    }
}

/// What a failed call says of the object or of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no object at the key.
    Absent,
    /// There is no bucket.
    NoBucket,
    /// The object is not the version that was asked for.
    Changed,
    /// There is an object already, or the store says so.
    Exists,
    /// The store knows who asks, and does not let them.
    Denied,
    /// The store does not know who asks.
    Credentials,
    /// The store, or its client, cannot do this at all.
    Unsupported,
    /// The key cannot be one.
    BadKey,
    /// The bucket is in another region.
    Elsewhere,
    /// A proxy stands between.
    Proxy,
    /// The store is full.
    Full,
    /// Anything else.
    Other,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// Whether the same call may succeed later.
    pub(super) may_pass: bool,
    /// Whether what was to be written is certainly not stored.
    is_certain: bool,
    /// In words; it may still hold secrets.
    text: String,
}

impl Failure {
    /// A failure of this side, or an answer that cannot be right.
    pub(super) fn damaged(text: impl Into<String>) -> Self {
        Self { kind: Kind::Other, may_pass: true, is_certain: false, text: text.into() }
    }

    /// An answer without an `ETag`: no object, or a store that gives none.
    pub(super) fn untagged() -> Self {
        let text = "the store gave no ETag";
        Self { kind: Kind::Unsupported, ..Self::damaged(text) }
    }

    pub(super) fn changed() -> Self {
        Self {
            kind: Kind::Changed,
            may_pass: false,
            is_certain: false,
            text: "it is another version".to_owned(),
        }
    }

    /// Whether the write that failed so is certainly not stored, and will not be by trying again.
    pub(super) fn is_definite(&self) -> bool {
        use Kind::{Absent, BadKey, Credentials, Denied, NoBucket, Unsupported};
        let is_final =
            matches!(self.kind, Denied | Credentials | Unsupported | BadKey | Absent | NoBucket);
        self.is_certain && is_final
    }

    pub(super) fn is_absent(&self) -> bool {
        self.kind == Kind::Absent
    }

    /// The error for an operator: nobody could `what` the object `name`.
    pub(super) fn error(&self, what: &str, name: &str, secrets: &Secrets) -> Error {
        let why = secrets.redact(&without_url_secrets(&self.text));
        let error = Error::new(self.code(), format!("cannot {what} {name}: {why}"));
        match self.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn code(&self) -> Code {
        match self.kind {
            Kind::NoBucket => Code::SourceMissing,
            Kind::Denied | Kind::Credentials => Code::PermissionDenied,
            Kind::Full => Code::StorageFull,
            Kind::Unsupported => Code::StoreUnfit,
            _ => Code::StoreFailed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            Kind::NoBucket => "create the bucket, or mend its name in the URL",
            Kind::Denied => "give the identity that runs highwater this permission, then run again",
            Kind::Credentials => {
                "set valid credentials in the environment (AWS_*, GOOGLE_* or AZURE_*), \
                 then run again"
            }
            Kind::Unsupported => "use a store with conditional writes and strong ETags",
            Kind::BadKey => "rename the object: no part of a key may be empty, `.` or `..`",
            Kind::Elsewhere => "set `aws_region` to the region of the bucket",
            Kind::Proxy => "mend the settings of the proxy, or go without one",
            Kind::Full => "make room and run `highwater run` again: it goes on where it stopped",
            Kind::Other if self.may_pass => "run again once the store answers: that is safe",
            Kind::Other | Kind::Absent | Kind::Changed | Kind::Exists => return None,
        })
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        let answer = Answer::of(&error);
        let kind = answer.kind().unwrap_or_else(|| kind(&error));
        let is_other = matches!(kind, Kind::Other);
        Self {
            kind,
            may_pass: is_other && answer.may_pass(),
            is_certain: is_told(&error) && !answer.is_retried,
            text: answer.text(kind),
        }
    }
}

/// What the client's own variant says.
fn kind(error: &object_store::Error) -> Kind {
    use object_store::Error as Told;
    match error {
        Told::NotFound { .. } => Kind::Absent,
        Told::Precondition { .. } | Told::NotModified { .. } => Kind::Changed,
        Told::AlreadyExists { .. } => Kind::Exists,
        Told::PermissionDenied { .. } => Kind::Denied,
        Told::Unauthenticated { .. } => Kind::Credentials,
        Told::NotSupported { .. } | Told::NotImplemented { .. } => Kind::Unsupported,
        Told::InvalidPath { .. } => Kind::BadKey,
        _ => Kind::Other,
    }
}

/// Whether the client has a variant of its own for this: everything without one is uncertain.
fn is_told(error: &object_store::Error) -> bool {
    !matches!(kind(error), Kind::Other | Kind::Changed | Kind::Exists)
}

/// What can be read out of an error of the client.
#[derive(Debug, Default)]
struct Answer {
    status: Option<u16>,
    /// The store's own word for what is wrong, such as `SlowDown`.
    code: Option<String>,
    message: Option<String>,
    transport: Option<HttpErrorKind>,
    /// Whether the client had tried before: then an earlier try may have landed.
    is_retried: bool,
    /// Whether the client was refused by, or could not reach, whoever hands out credentials.
    is_about_credentials: bool,
    /// The innermost cause.
    cause: String,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let mut answer = Self::default();
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            answer.is_retried |= text.contains(" retries, max_retries: ");
            answer.is_about_credentials |= ["169.254.169.254", "metadata.google.internal"]
                .iter()
                .any(|place| text.contains(place));
            if let Some(rest) = text.strip_prefix("Server returned non-2xx status code: ") {
                answer.status = rest.get(..3).and_then(|status| status.parse().ok());
                answer.read_body(rest);
            } else if let Some(body) = text.strip_prefix("Server returned error response: ") {
                answer.read_body(body);
            } else if let Some((_, code)) = text.rsplit_once(" (code: ")
                && text.contains("DeleteObjects request failed")
            {
                answer.code = Some(word(code.trim_end_matches(')')));
            }
            if let Some(error) = error.downcast_ref::<HttpError>() {
                answer.transport = Some(error.kind());
            }
            answer.cause = text;
            next = error.source();
        }
        answer
    }

    fn read_body(&mut self, body: &str) {
        self.code = element(body, "Code").map(word);
        self.message = element(body, "Message").map(word);
    }

    /// What the store's own words say, where the client's variants do not.
    fn kind(&self) -> Option<Kind> {
        let kind = match self.code.as_deref().unwrap_or_default() {
            "NoSuchBucket" | "ContainerNotFound" => Kind::NoBucket,
            "AccessDenied" | "AllAccessDisabled" => Kind::Denied,
            "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "AuthenticationFailed"
            | "RequestTimeTooSkewed" => Kind::Credentials,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" => Kind::Elsewhere,
            "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" => Kind::Full,
            _ => match self.status {
                Some(407) => Kind::Proxy,
                Some(416) => Kind::Changed,
                Some(507) => Kind::Full,
                Some(300..400) if self.status != Some(304) => Kind::Elsewhere,
                _ if self.cause.starts_with("Received redirect") => Kind::Elsewhere,
                _ if self.cause.starts_with("ETag Header missing") => Kind::Unsupported,
                _ if self.is_about_credentials => Kind::Credentials,
                _ => return None,
            },
        };
        Some(kind)
    }

    /// Whether it may be otherwise in a moment.
    fn may_pass(&self) -> bool {
        match (self.status, self.code.as_deref()) {
            (_, Some("RequestTimeout" | "SlowDown" | "InternalError")) | (None, _) => true,
            (Some(status), _) => status >= 500 || matches!(status, 408 | 429),
        }
    }

    /// In words: what the store answered, or why it did not.
    fn text(&self, kind: Kind) -> String {
        let says = [&self.code, &self.message].into_iter().flatten().cloned();
        let says = says.collect::<Vec<_>>().join(": ");
        match (self.status, says.as_str()) {
            (Some(status), "") => format!("the store answered {status}"),
            (Some(status), says) => format!("the store answered {status} {says}"),
            (None, "") => match (kind, self.transport) {
                (Kind::Absent, _) => "it does not exist".to_owned(),
                (Kind::Changed, _) => "it is another version".to_owned(),
                (Kind::Exists, _) => "it exists already".to_owned(),
                (_, Some(HttpErrorKind::Timeout)) => "the store did not answer in time".to_owned(),
                (_, Some(HttpErrorKind::Connect)) => {
                    format!("the store cannot be reached: {}", word(&self.cause))
                }
                (_, Some(_)) => format!("the connection broke: {}", word(&self.cause)),
                (_, None) => word(&self.cause),
            },
            (None, says) => format!("the store answered {says}"),
        }
    }
}

/// The text of the first element `name` in `body`.
fn element<'b>(body: &'b str, name: &str) -> Option<&'b str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text)
}

/// `text` on one line, not too long.
fn word(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `text` with every URL in it bare of users and queries.
pub(super) fn without_url_secrets(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')');
        let end = after.find(is_end).unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        let host = host.rsplit('@').next().unwrap_or_default();
        bare.extend([before, "://", host, path]);
        rest = behind;
    }
    bare.push_str(rest);
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_users_and_queries() {
        let text = "PUT https://key:word@host:9/b/k?X-Amz-Signature=secret in 3 s, \
                    see (http://other/x#y) and `az://c/d?sv=1`";
        assert_eq!(
            without_url_secrets(text),
            "PUT https://host:9/b/k in 3 s, see (http://other/x) and `az://c/d`"
        );
        assert_eq!(without_url_secrets("s3://lake/a@b/c"), "s3://lake/a@b/c");
        assert_eq!(without_url_secrets("no url, a: b"), "no url, a: b");
    }

    #[test]
    fn of_a_body_only_code_and_message_are_told() {
        let body = "403 Forbidden: <Error><Code>InvalidAccessKeyId</Code><Message>It does\nnot \
                    exist</Message><AWSAccessKeyId>AKIDSECRET</AWSAccessKeyId></Error>";
        let source = format!("Server returned non-2xx status code: {body}");
        let failure = Failure::from(object_store::Error::PermissionDenied {
            path: "k".to_owned(),
            source: source.into(),
        });
        assert_eq!(failure.kind, Kind::Credentials);
        assert!(failure.is_definite() && !failure.may_pass);
        let error = failure.error("read", "s3://lake/k", &Secrets::default());
        assert_eq!(
            error.message(),
            "cannot read s3://lake/k: the store answered 403 InvalidAccessKeyId: \
             It does not exist"
        );
    }

    #[test]
    fn a_refusal_after_hidden_retries_is_not_certain() {
        let of = |retries: &str| {
            let source = format!("Error performing PUT http://h/b/k in 1ms{retries} - x");
            Failure::from(object_store::Error::PermissionDenied {
                path: "k".to_owned(),
                source: source.into(),
            })
        };
        assert!(of("").is_definite());
        assert!(!of(", after 1 retries, max_retries: 3, retry_timeout: 1s ").is_definite());
    }

    #[test]
    fn secrets_are_redacted_and_short_words_are_not() {
        let secrets = Secrets::new(["canary-of-a-key".to_owned(), "no".to_owned()]);
        assert_eq!(secrets.redact("not canary-of-a-key."), "not ….");
    }
}
