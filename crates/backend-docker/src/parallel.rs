//! Many small questions at once, but not all.

use std::future::Future;

use futures_util::{StreamExt, TryStreamExt, stream};
use straddle_core::error::Result;

/// Awaits all, at most `limit` at a time; the answers come in no certain order. The first error ends it.
pub(crate) async fn all<T, F>(futures: Vec<F>, limit: usize) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    stream::iter(futures).buffer_unordered(limit).try_collect().await
}
