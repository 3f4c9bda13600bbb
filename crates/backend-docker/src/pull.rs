//! Getting images onto the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use straddle_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    secret,
    units::ImageRef,
};
use straddle_registry::Credentials;

use crate::{
    document::{ImageSource, Pull, TemplateDocument},
    execute::Work,
    explain, parallel,
};

/// How many images are got at once: registries slow down who asks for more.
const PARALLEL: usize = 4;

/// One image that a template needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted<'a> {
    image: &'a str,
    platform: Option<&'a str>,
}

/// Makes sure that the engine has every image of a template, and writes down what their names stand for.
///
/// A pinned template is made again as it was, whatever its image names stand for by now.
pub(crate) async fn images(
    work: &Work<'_>,
    template: &mut TemplateDocument,
    sources: &BTreeMap<String, ImageSource>,
    pinned: bool,
) -> Result<()> {
    let nothing = ImageSource::default();
    let wanted: BTreeMap<Wanted<'_>, &ImageSource> = template
        .containers
        .iter()
        .map(|(name, container)| {
            let image = container.image_id.as_deref().filter(|_| pinned).unwrap_or(&container.image);
            (Wanted { image, platform: container.platform.as_deref() }, sources.get(name).unwrap_or(&nothing))
        })
        .collect();
    let pulls = wanted
        .iter()
        .map(|(wanted, source)| async { Ok((wanted.image.to_owned(), one(work, wanted, source).await?)) });
    let ids: BTreeMap<String, String> = parallel::all(pulls.collect(), PARALLEL).await?.into_iter().collect();
    for container in template.containers.values_mut() {
        let name = container.image_id.as_ref().filter(|_| pinned).unwrap_or(&container.image);
        if let Some(id) = ids.get(name) {
            container.image_id = Some(id.clone());
        }
    }
    Ok(())
}

async fn one(work: &Work<'_>, wanted: &Wanted<'_>, source: &ImageSource) -> Result<String> {
    let Wanted { image, platform } = *wanted;
    if source.pull != Pull::Always
        && let Some(id) = work.client().image_id(image).await?
    {
        return Ok(id);
    }
    if source.pull == Pull::Never {
        let error =
            Error::new(ErrorKind::NotFound, "the engine does not have it, and the spec says `pull: never`");
        return Err(explain::image(work.workload(), image, error));
    }
    let credentials = credentials(work, image, source).await?;
    let layers: Mutex<BTreeMap<String, (u64, u64)>> = Mutex::default();
    let progress = |layer: &str, current: u64, total: u64| {
        let mut layers = layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        layers.insert(layer.to_owned(), (current, total));
        let (current, total) =
            layers.values().fold((0, 0), |(here, all), (current, total)| (here + current, all + total));
        work.context.events.send(Event::Pull { step: work.step_id, image: image.to_owned(), current, total });
    };
    let pulled = work.until_cancelled(work.client().pull(image, platform, credentials, progress)).await;
    if let Err(error) = pulled {
        // An image that was built here and never pushed has no registry to ask, and is there all the same.
        let here = if source.pull == Pull::Always {
            work.client().image_id(image).await.ok().flatten()
        } else {
            None
        };
        return match here {
            Some(id) if error.kind() != ErrorKind::Cancelled => {
                tracing::warn!(image, %error, "the image could not be pulled: the one that is here is used");
                Ok(id)
            }
            _ => Err(explain::image(work.workload(), image, error)),
        };
    }
    let id = work.client().image_id(image).await?;
    id.ok_or_else(|| Error::new(ErrorKind::Uncertain, format!("image {image} was pulled and is not there")))
}

async fn credentials(work: &Work<'_>, image: &str, source: &ImageSource) -> Result<Option<Credentials>> {
    let image = image.parse::<ImageRef>().ok();
    let registry = image.as_ref().and_then(ImageRef::registry);
    match &source.credentials {
        Some(reference) => {
            let text = secret::text(work.resolver(), reference)?;
            let parsed = Credentials::parse(registry, &text);
            parsed.map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Invalid, format!("secret {reference} does not hold `user:password`"))
            })
        }
        None => Ok(Credentials::find(registry).await),
    }
}

/// Returns every image that an application names.
pub(crate) fn named(app: &straddle_core::model::App) -> BTreeSet<&str> {
    let containers = app.workloads().flat_map(|workload| workload.template.containers.values());
    containers.map(|container| container.image.as_str()).collect()
}
