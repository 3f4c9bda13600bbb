//! Secrets Manager and Parameter Store.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    state::{Names, Tags, World, uuid},
    value::{Doc, Done, Fail, object, page},
};

#[derive(Debug, Default)]
pub(super) struct Secrets {
    secrets: BTreeMap<String, Secret>,
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug)]
struct Secret {
    arn: String,
    value: Option<String>,
    version: String,
    tags: Tags,
    created: f64,
    deleted: Option<f64>,
    description: Option<String>,
}

#[derive(Debug)]
struct Parameter {
    value: String,
    kind: String,
    version: i64,
    changed: f64,
    tags: Tags,
    /// The values of versions before, the first one first.
    past: Vec<String>,
}

impl Secrets {
    fn find(&self, asked: &str) -> Option<(&String, &Secret)> {
        self.secrets.iter().find(|(name, secret)| {
            // An ARN may be given without its random end.
            *name == asked
                || secret.arn == asked
                || secret.arn.rsplit_once('-').is_some_and(|(arn, _)| arn == asked)
        })
    }

    /// Returns the value that a container's `valueFrom` names.
    pub(super) fn resolve(&self, from: &str) -> Result<String, String> {
        if !from.starts_with("arn:") || from.contains(":ssm:") {
            let name = from.split_once(":parameter").map_or(from, |(_, name)| name);
            let bare = name.trim_start_matches('/');
            let found = self.parameters.iter().find(|(key, _)| key.trim_start_matches('/') == bare);
            return found.map(|(_, parameter)| parameter.value.clone()).ok_or_else(|| {
                format!("execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: {name}")
            });
        }
        // After the name: a key of its JSON, a stage and a version.
        let parts: Vec<&str> = from.split(':').collect();
        let arn = parts.get(..7).map_or_else(|| from.to_owned(), |parts| parts.join(":"));
        let refused = |why: &str| {
            format!(
                "execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): {why}"
            )
        };
        let found = self.find(&arn).filter(|(_, secret)| secret.deleted.is_none());
        let value = found.and_then(|(_, secret)| secret.value.clone()).ok_or_else(|| {
            refused(&format!("failed to fetch secret {arn} from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret."))
        })?;
        match parts.get(7).filter(|key| !key.is_empty()) {
            None => Ok(value),
            Some(key) => {
                let fields: Value = serde_json::from_str(&value).unwrap_or_default();
                match fields.get(*key) {
                    Some(Value::String(text)) => Ok(text.clone()),
                    Some(other) => Ok(other.to_string()),
                    None => Err(refused(&format!(
                        "retrieved secret from Secrets Manager did not contain json key {key}"
                    ))),
                }
            }
        }
    }

    pub(super) fn keep(&mut self, names: &Names, name: &str, value: &str, now: f64) {
        let arn = names.of("secretsmanager", &format!("secret:{name}-{}", suffix()));
        let secret = self.secrets.entry(name.to_owned()).or_insert(Secret {
            arn,
            value: None,
            version: uuid(),
            tags: Tags::new(),
            created: now,
            deleted: None,
            description: None,
        });
        secret.value = Some(value.to_owned());
        secret.deleted = None;
    }

    /// Returns the names of parameters, with their tags.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&String, &Tags)> {
        self.parameters.iter().map(|(name, parameter)| (name, &parameter.tags))
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.secrets.remove(name);
    }
}

fn suffix() -> String {
    uuid().chars().filter(char::is_ascii_alphanumeric).take(6).collect()
}

fn listed(body: &Value, key: &str) -> Tags {
    let pair =
        |tag: &Value| Some((tag.text("Key")?.to_owned(), tag.text("Value").unwrap_or_default().to_owned()));
    body.list(key).iter().filter_map(pair).collect()
}

fn shown(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

pub(super) fn manager(world: &mut World, operation: &str, body: &Value) -> Done {
    let (now, names) = (world.ecs.now(), world.ecs.names.clone());
    let store = &mut world.secrets;
    let missing =
        || Fail::new("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    let asked = body.text("SecretId").unwrap_or_default();
    match operation {
        "CreateSecret" => {
            let name = body.need("Name")?;
            if let Some((_, secret)) = store.find(name) {
                return Err(match secret.deleted {
                    Some(_) => Fail::new(
                        "InvalidRequestException",
                        "You can't create this secret because a secret with this name is already scheduled for deletion.",
                    ),
                    None => Fail::new(
                        "ResourceExistsException",
                        format!("The operation failed because the secret {name} already exists."),
                    ),
                });
            }
            let value = body.text("SecretString").map(str::to_owned);
            let arn = names.of("secretsmanager", &format!("secret:{name}-{}", suffix()));
            let secret = Secret {
                arn: arn.clone(),
                value,
                version: uuid(),
                tags: listed(body, "Tags"),
                created: now,
                deleted: None,
                description: body.text("Description").map(str::to_owned),
            };
            let version = secret.version.clone();
            store.secrets.insert(name.to_owned(), secret);
            Ok(json!({ "ARN": arn, "Name": name, "VersionId": version }))
        }
        "PutSecretValue" => {
            let name = store.find(asked).map(|(name, _)| name.clone()).ok_or_else(missing)?;
            let secret = store.secrets.get_mut(&name).ok_or_else(missing)?;
            secret.value = body.text("SecretString").map(str::to_owned);
            secret.version = uuid();
            Ok(
                json!({ "ARN": secret.arn, "Name": name, "VersionId": secret.version, "VersionStages": ["AWSCURRENT"] }),
            )
        }
        "GetSecretValue" => {
            let (name, secret) = store.find(asked).ok_or_else(missing)?;
            if secret.deleted.is_some() {
                return Err(Fail::new(
                    "InvalidRequestException",
                    "You can't perform this operation on the secret because it was marked for deletion.",
                ));
            }
            let value = secret.value.clone().ok_or_else(missing)?;
            Ok(json!({
                "ARN": secret.arn, "Name": name, "SecretString": value, "VersionId": secret.version,
                "VersionStages": ["AWSCURRENT"], "CreatedDate": secret.created,
            }))
        }
        "DescribeSecret" => {
            let (name, secret) = store.find(asked).ok_or_else(missing)?;
            let versions = json!({ (secret.version.clone()): ["AWSCURRENT"] });
            Ok(object!({
                "ARN": secret.arn, "Name": name, "Description": secret.description, "CreatedDate": secret.created,
                "DeletedDate": secret.deleted, "Tags": shown(&secret.tags), "VersionIdsToStages": versions,
            }))
        }
        "DeleteSecret" => {
            let (name, arn) = store
                .find(asked)
                .map(|(name, secret)| (name.clone(), secret.arn.clone()))
                .ok_or_else(missing)?;
            if body.flag("ForceDeleteWithoutRecovery") {
                store.secrets.remove(&name);
            } else if let Some(secret) = store.secrets.get_mut(&name) {
                secret.deleted = Some(now);
            }
            Ok(json!({ "ARN": arn, "Name": name, "DeletionDate": now }))
        }
        "ListSecrets" => {
            let prefixes: Vec<String> = body
                .list("Filters")
                .iter()
                .filter(|filter| filter.text("Key") == Some("name"))
                .flat_map(|filter| filter.texts("Values"))
                .collect();
            let found = store.secrets.iter().filter(|(name, secret)| {
                secret.deleted.is_none()
                    && (prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix)))
            });
            let found: Vec<Value> = found
                .map(|(name, secret)| json!({ "ARN": secret.arn, "Name": name, "Tags": shown(&secret.tags), "CreatedDate": secret.created }))
                .collect();
            let asked =
                object!({ "nextToken": body.given("NextToken"), "maxResults": body.given("MaxResults") });
            let (secrets, next) = page(&found, &asked, 100, 100, Fail::parameter)?;
            Ok(object!({ "SecretList": secrets, "NextToken": next }))
        }
        other => Err(Fail::gap(&format!("secretsmanager:{other}"))),
    }
}

pub(super) fn parameters(world: &mut World, operation: &str, body: &Value) -> Done {
    let (now, names) = (world.ecs.now(), world.ecs.names.clone());
    let store = &mut world.secrets.parameters;
    let missing = |name: &str| Fail::new("ParameterNotFound", format!("Parameter {name} not found."));
    let document = |name: &str, parameter: &Parameter| {
        let slash = if name.starts_with('/') { "" } else { "/" };
        json!({
            "Name": name, "Type": parameter.kind, "Value": parameter.value, "Version": parameter.version,
            "LastModifiedDate": parameter.changed, "ARN": names.of("ssm", &format!("parameter{slash}{name}")), "DataType": "text",
        })
    };
    match operation {
        "PutParameter" => {
            let (name, value) = (body.need("Name")?.to_owned(), body.need("Value")?.to_owned());
            if value.is_empty() || value.len() > 8192 {
                return Err(Fail::new(
                    "ValidationException",
                    "The value must have between 1 and 8192 characters.",
                ));
            }
            let before = store.get(&name).map(|parameter| (parameter.version, parameter.tags.clone()));
            let past = store.get(&name).map_or_else(Vec::new, |parameter| {
                [parameter.past.clone(), vec![parameter.value.clone()]].concat()
            });
            if before.is_some() && !body.flag("Overwrite") {
                return Err(Fail::new(
                    "ParameterAlreadyExists",
                    "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
                ));
            }
            if body.flag("Overwrite") && !body.list("Tags").is_empty() {
                return Err(Fail::new(
                    "ValidationException",
                    "Invalid request: tags and overwrite can't be used together.",
                ));
            }
            let (version, tags) =
                before.map_or_else(|| (1, listed(body, "Tags")), |(version, tags)| (version + 1, tags));
            let kind = body.text("Type").unwrap_or("String").to_owned();
            store.insert(name, Parameter { value, kind, version, changed: now, tags, past });
            Ok(json!({ "Version": version, "Tier": "Standard" }))
        }
        "GetParameter" => {
            let name = body.need("Name")?;
            // A version may be named: `name:3`.
            let (name, asked) =
                name.split_once(':').map_or((name, None), |(name, at)| (name, at.parse().ok()));
            let parameter = store.get(name).ok_or_else(|| missing(name))?;
            let mut shown = document(name, parameter);
            if let Some(at) = asked.filter(|at: &i64| *at != parameter.version) {
                let place = usize::try_from(at - 1).unwrap_or(usize::MAX);
                let value = parameter.past.get(place);
                let unknown = || {
                    Fail::new("ParameterVersionNotFound", "The specified parameter version was not found.")
                };
                (shown["Value"], shown["Version"]) = (json!(value.ok_or_else(unknown)?), json!(at));
            }
            Ok(json!({ "Parameter": shown }))
        }
        "GetParameters" => {
            let asked = body.texts("Names");
            let (known, unknown): (Vec<_>, Vec<_>) =
                asked.into_iter().partition(|name| store.contains_key(name));
            let found =
                known.iter().filter_map(|name| store.get(name).map(|parameter| document(name, parameter)));
            Ok(json!({ "Parameters": found.collect::<Vec<_>>(), "InvalidParameters": unknown }))
        }
        "GetParametersByPath" => {
            let path = format!("{}/", body.need("Path")?.trim_end_matches('/'));
            let found = store.iter().filter(|(name, _)| name.starts_with(&path));
            let found: Vec<Value> = found.map(|(name, parameter)| document(name, parameter)).collect();
            Ok(json!({ "Parameters": found }))
        }
        "DeleteParameter" => {
            let name = body.need("Name")?;
            store.remove(name).map(|_| json!({})).ok_or_else(|| missing(name))
        }
        "AddTagsToResource" => {
            let name = body.need("ResourceId")?;
            let parameter = store.get_mut(name).ok_or_else(|| Fail::new("InvalidResourceId", name))?;
            parameter.tags.extend(listed(body, "Tags"));
            Ok(json!({}))
        }
        "ListTagsForResource" => {
            let name = body.need("ResourceId")?;
            let parameter = store.get(name).ok_or_else(|| Fail::new("InvalidResourceId", name))?;
            Ok(json!({ "TagList": shown(&parameter.tags) }))
        }
        other => Err(Fail::gap(&format!("ssm:{other}"))),
    }
}
