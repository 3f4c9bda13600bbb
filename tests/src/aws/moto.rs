use serde_json::{Value, json};
use straddle_core::error::Result;

use super::{Api, variable};

/// The variable that names the address of moto.
pub const MOTO: &str = "STRADDLE_TEST_AWS_MOTO";

/// moto: it stores what it is sent and shows it again; nothing comes of it.
///
/// It is there for the services that MiniStack has not, such as Application Auto Scaling. What those refer to has to be in moto too:
/// [`mirror`](Self::mirror).
#[derive(Clone, Debug)]
pub struct Moto(Api);

impl Moto {
    /// Finds the one that the environment names.
    ///
    /// # Errors
    ///
    /// [`NotFound`](straddle_core::error::ErrorKind::NotFound) where it names none.
    pub fn find() -> Result<Self> {
        Ok(Self(Api::at(&variable(MOTO)?)?))
    }

    /// Returns its address.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Lets it forget everything, of everybody.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](straddle_core::error::ErrorKind::Unavailable) where it does not answer.
    pub async fn reset(&self) -> Result<()> {
        self.0.post("/moto-api/reset").await
    }

    /// Calls it, to read what is stored (`ecs`, `DescribeServices`): as [`Api::call`].
    ///
    /// # Errors
    ///
    /// Those of [`Api::call`].
    pub async fn describe(&self, service: &str, action: &str, body: &Value) -> Result<Value> {
        self.0.call(service, action, body).await
    }

    /// Makes a service of this name without tasks, so that what refers to one that runs elsewhere can be stored.
    ///
    /// # Errors
    ///
    /// Those of [`Api::call`].
    pub async fn mirror(&self, cluster: &str, service: &str) -> Result<()> {
        self.describe("ecs", "CreateCluster", &json!({"clusterName": cluster})).await?;
        let definition = json!({
            "family": service,
            "containerDefinitions": [{"name": "mirror", "image": "mirror", "memory": 4}],
        });
        self.describe("ecs", "RegisterTaskDefinition", &definition).await?;
        let mirror =
            json!({"cluster": cluster, "serviceName": service, "taskDefinition": service, "desiredCount": 0});
        self.describe("ecs", "CreateService", &mirror).await.map(drop)
    }
}
