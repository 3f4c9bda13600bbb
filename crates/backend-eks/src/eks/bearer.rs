//! The token of each request: made when it is needed, kept until shortly before it ends.

use std::{fmt, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderValue, Request, header::AUTHORIZATION};
use jiff::Timestamp;
use kube::client::Body;
use straddle_aws::Session;
use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
};
use tokio::sync::Mutex;
use tower::{BoxError, filter::AsyncPredicate};

use super::Token;

/// Who makes tokens.
pub(super) trait Source: fmt::Debug + Send + Sync + 'static {
    /// Makes a token that is valid from `now` on.
    fn token(&self, now: Timestamp) -> BoxFuture<'_, Result<Token>>;
}

/// A user of AWS, for one cluster.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) session: Session,
    pub(super) cluster: String,
}

impl Source for Signer {
    fn token(&self, now: Timestamp) -> BoxFuture<'_, Result<Token>> {
        async move {
            let credentials = self.session.credentials().await?;
            Token::new(&credentials, self.session.region(), &self.cluster, now)
        }
        .boxed()
    }
}

/// Puts a token into every request, those that open a watch or a websocket, too; cheap to clone.
#[derive(Clone)]
pub(super) struct Bearer {
    shared: Arc<Shared>,
}

struct Shared {
    source: Box<dyn Source>,
    clock: Arc<dyn Clock>,
    /// Locked while a token is made, so that many requests at once make one.
    current: Mutex<Option<Current>>,
}

struct Current {
    header: HeaderValue,
    token: Token,
}

impl Bearer {
    pub(super) fn new(source: impl Source, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { source: Box::new(source), clock, current: Mutex::new(None) }) }
    }

    /// Returns the header, with a new token where the last one is about to end.
    pub(super) async fn header(&self) -> Result<HeaderValue> {
        let Shared { source, clock, current } = &*self.shared;
        let mut current = current.lock().await;
        let now = clock.now();
        if let Some(Current { header, token }) = &*current
            && now < token.renew_at()
        {
            return Ok(header.clone());
        }
        match source.token(now).await.and_then(header) {
            Ok(made) => {
                tracing::debug!(expires = %made.token.expires(), "made a token for the API server");
                Ok(current.insert(made).header.clone())
            }
            Err(failed) => match &*current {
                // The last one still holds: the next request tries again.
                Some(Current { header, token }) if clock.now() < token.expires() => {
                    tracing::warn!(error = %failed, "the token for the API server could not be renewed yet");
                    Ok(header.clone())
                }
                _ => Err(failed),
            },
        }
    }
}

fn header(token: Token) -> Result<Current> {
    let text = HeaderValue::try_from(format!("Bearer {}", token.as_str()));
    let mut header = text.map_err(|failed| {
        Error::new(ErrorKind::Internal, "the token for the API server is no header").with_source(failed)
    })?;
    header.set_sensitive(true);
    Ok(Current { header, token })
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("source", &self.shared.source).finish_non_exhaustive()
    }
}

impl AsyncPredicate<Request<Body>> for Bearer {
    type Future = BoxFuture<'static, std::result::Result<Request<Body>, BoxError>>;
    type Request = Request<Body>;

    fn check(&mut self, mut request: Request<Body>) -> Self::Future {
        let bearer = self.clone();
        async move {
            let header = bearer.header().await?;
            request.headers_mut().insert(AUTHORIZATION, header);
            Ok(request)
        }
        .boxed()
    }
}
