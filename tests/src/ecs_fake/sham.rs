//! Tasks that are made of nothing but time.
//!
//! An image says by its name what becomes of its container: `fail:exit1` exits at once, with any code; `exit:3` runs for a moment and exits;
//! `fail:pull` and `fail:start` never run; `fail:oom` is killed; `fail:unhealthy` fails its checks; `fail:slow` takes its time; `fail:stuck` never
//! gets beyond pending. Every other image runs on.

use super::{
    Shared,
    life::{Ending, Stop, advance, resources},
    state::{Health, Status, Task, number},
    value::Doc,
};

/// How many steps pass in which a container runs that exits by itself, and in which a slow one starts.
const MOMENT: u32 = 5;
const SLOW: u32 = 50;

/// Returns what the name of an image says: `exit1` of `fail:exit1`.
pub(super) fn script(image: &str) -> Option<&str> {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.strip_prefix("fail:").or_else(|| name.starts_with("exit:").then_some(name))
}

pub(super) async fn run(shared: &Shared, id: &str, stop: &mut Stop) -> Option<Ending> {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => None,
        ending = scripted(shared, id) => Some(ending),
    }
}

async fn scripted(shared: &Shared, id: &str) -> Ending {
    let step = shared.options.step;
    tokio::time::sleep(step).await;
    let scripts: Vec<(String, String)> = shared.world().ecs.tasks.get(id).map_or_else(Vec::new, |task| {
        let scripts = task
            .containers
            .iter()
            .map(|one| (one.name.clone(), script(&one.image).unwrap_or_default().to_owned()));
        scripts.collect()
    });
    let has =
        |wanted: &str| scripts.iter().find(|(_, script)| script == wanted).map(|(name, _)| name.clone());
    let bits = number();
    edit(shared, id, |task| {
        task.address = Some(format!("10.{}.{}.{}", bits % 200, (bits >> 8) % 250, (bits >> 16) % 250 + 1));
    });
    advance(shared, id, Status::Pending);
    if let Err(why) = resources(&mut shared.world(), id) {
        return Ending::failed_to_start(why);
    }
    if let Some(name) = has("pull") {
        let image = shared
            .world()
            .ecs
            .tasks
            .get_mut(id)
            .and_then(|task| task.container(&name).map(|one| one.image.clone()));
        let image = image.unwrap_or_default();
        let why = format!(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: {image}: not found"
        );
        edit(shared, id, |task| reason(task, &name, &why));
        return Ending::failed_to_start(why);
    }
    if has("stuck").is_some() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(step * if has("slow").is_some() { SLOW } else { 1 }).await;
    advance(shared, id, Status::Activating);
    tokio::time::sleep(step).await;
    if let Some(name) = has("start") {
        let why = "CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec: \"fail\": executable file not found in $PATH";
        edit(shared, id, |task| reason(task, &name, why));
        return Ending::failed_to_start("Task failed to start");
    }
    if let Some(ending) = predecessors(shared, id, &scripts) {
        return ending;
    }
    edit(shared, id, |task| {
        for container in task.containers.iter_mut().filter(|container| container.status != Status::Stopped) {
            container.status = Status::Running;
            container.runtime = Some(format!("{}-{}", task.id, number() % 10_000_000_000));
        }
    });
    advance(shared, id, Status::Running);
    ended(shared, id, &scripts).await
}

/// Ends what others wait for; returns the end of a task whose predecessor fails.
fn predecessors(shared: &Shared, id: &str, scripts: &[(String, String)]) -> Option<Ending> {
    let mut world = shared.world();
    let task = world.ecs.tasks.get(id)?;
    let definition = world.ecs.definition(&task.definition)?.document.clone();
    let task = world.ecs.tasks.get_mut(id)?;
    for container in definition.list("containerDefinitions") {
        let name = container.text("name").unwrap_or_default();
        for awaited in container.list("dependsOn") {
            let target = awaited.text("containerName").unwrap_or_default();
            let code = scripts.iter().find(|(name, _)| name == target).and_then(|(_, script)| code(script));
            let condition = awaited.text("condition").unwrap_or_default();
            let (Some(code), true) = (code, ["COMPLETE", "SUCCESS"].contains(&condition)) else { continue };
            if let Some(ended) = task.container(target) {
                (ended.status, ended.exit_code) = (Status::Stopped, Some(code));
            }
            if condition == "SUCCESS" && code != 0 {
                let why = format!(
                    "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [{target}] for target [{name}] as dependency did not exit successfully."
                );
                reason(task, name, &why);
                if let Some(dependent) = task.container(name) {
                    dependent.exit_code = Some(143);
                }
                return Some(Ending::failed_to_start("Task failed to start"));
            }
        }
    }
    None
}

/// Returns the code that a script exits with.
fn code(script: &str) -> Option<i64> {
    if script == "oom" {
        return Some(137);
    }
    script.strip_prefix("exit:").or_else(|| script.strip_prefix("exit"))?.parse().ok()
}

/// Lets containers be healthy, and end, as their images say.
async fn ended(shared: &Shared, id: &str, scripts: &[(String, String)]) -> Ending {
    tokio::time::sleep(shared.options.step).await;
    edit(shared, id, |task| {
        for container in task.containers.iter_mut().filter(|container| container.has_check) {
            let fails = script(&container.image) == Some("unhealthy");
            container.health = if fails { Health::Unhealthy } else { Health::Healthy };
        }
    });
    shared.wake.notify_one();
    for (name, script) in scripts {
        let Some(code) = code(script) else { continue };
        if script.starts_with("exit:") {
            tokio::time::sleep(shared.options.step * MOMENT).await;
        }
        let mut is_essential = false;
        edit(shared, id, |task| {
            if let Some(container) = task.container(name) {
                is_essential = container.essential;
                (container.status, container.exit_code) = (Status::Stopped, Some(code));
                if script == "oom" {
                    container.reason =
                        Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
                }
            }
        });
        if is_essential {
            return Ending::exited();
        }
    }
    std::future::pending().await
}

pub(super) async fn stop(shared: &Shared, id: &str) {
    tokio::time::sleep(shared.options.step).await;
    edit(shared, id, |task| {
        for container in task.containers.iter_mut().filter(|container| container.status == Status::Running) {
            (container.status, container.exit_code) = (Status::Stopped, Some(0));
        }
    });
}

/// Ends a container from outside.
pub(super) fn end(shared: &Shared, id: &str, container: &str, code: i64) -> bool {
    let mut is_there = false;
    edit(shared, id, |task| {
        let Some(found) = task.container(container).filter(|one| one.status == Status::Running) else {
            return;
        };
        (found.status, found.exit_code) = (Status::Stopped, Some(code));
        is_there = true;
        if found.essential {
            let ending = Ending::exited();
            task.stop(ending.code, &ending.reason);
        }
    });
    is_there
}

fn edit(shared: &Shared, id: &str, change: impl FnOnce(&mut Task)) {
    if let Some(task) = shared.world().ecs.tasks.get_mut(id) {
        change(task);
        task.version += 1;
    }
}

fn reason(task: &mut Task, container: &str, why: &str) {
    if let Some(container) = task.container(container) {
        container.reason = Some(why.to_owned());
        container.status = Status::Stopped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_say_what_happens() {
        assert_eq!(script("registry/x/fail:exit1").and_then(code), Some(1));
        assert_eq!(script("exit:3").and_then(code), Some(3));
        assert_eq!(script("fail:pull"), Some("pull"));
        assert_eq!(script("shop/web:1"), None);
    }
}
