//! Carrying out steps. Every step looks at what is there first, so that it can be carried out again after it was half done.

mod rollout;
mod tasks;

pub(super) use tasks::{TaskRun, run};

use super::{client::Client, diff::Work, document::read, world::Role};
use crate::{
    error::Result,
    orchestrator::Context,
    plan::{Plan, Step},
};

/// Carries out one step.
pub(super) async fn execute(client: &Client, plan: &Plan, step: &Step, context: &Context) -> Result<String> {
    let scope = plan.scope.clone();
    match read(&step.payload)? {
        Work::CreateNetwork => {
            client.change("create_network", |state| {
                state.refuse_taken(&scope.prefix())?;
                Ok(state.networks.insert(scope))
            })?;
            Ok(String::new())
        }
        Work::CreateVolume { name } => {
            client.change("create_volume", |state| {
                state.refuse_taken(&format!("{}-{name}", scope.prefix()))?;
                state.volumes.entry((scope, name)).or_default();
                Ok(())
            })?;
            Ok(String::new())
        }
        Work::RemoveNetwork => {
            client.change("remove_network", |state| Ok(state.networks.remove(&scope)))?;
            Ok("removed".to_owned())
        }
        Work::RemoveVolume { name } => {
            client.change("remove_volume", |state| Ok(state.volumes.remove(&(scope, name))))?;
            Ok("removed".to_owned())
        }
        Work::RemoveService { name } => {
            let replicas = client.read(|state| {
                let own = state
                    .groups_of(&plan.scope, &name)
                    .filter(|group| matches!(group.spec.role, Role::Replica { .. }));
                own.map(|group| group.spec.name.clone()).collect::<Vec<_>>()
            })?;
            replicas.iter().try_for_each(|replica| take_away(client, replica))?;
            // Last, since it is by this that the rest is found again.
            client.change("remove_service", |state| Ok(state.services.remove(&(scope, name))))?;
            Ok("removed".to_owned())
        }
        Work::RemoveTask { name } => {
            let runs = client.read(|state| {
                let own = state
                    .groups_of(&plan.scope, &name)
                    .filter(|group| matches!(group.spec.role, Role::Run { .. }));
                own.map(|group| group.spec.name.clone()).collect::<Vec<_>>()
            })?;
            runs.iter().try_for_each(|run| take_away(client, run))?;
            Ok("removed".to_owned())
        }
        Work::Roll(target) => rollout::roll(client, step, &scope, &target, context).await,
        Work::RunTask(target) => tasks::run_awaited(client, step, &scope, *target, context).await,
    }
}

/// Takes a group away: no new connections, then stopped, then removed.
fn take_away(client: &Client, name: &str) -> Result<()> {
    client.change("retire_group", |state| {
        if let Some(group) = state.groups.get_mut(name) {
            group.retired = true;
        }
        Ok(())
    })?;
    client.change("stop_group", |state| {
        state.stop_group(name);
        Ok(())
    })?;
    client.change("remove_group", |state| {
        state.remove_group(name);
        Ok(())
    })
}
