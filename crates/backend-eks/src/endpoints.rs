//! Where a service is reached from outside: as its Ingress, routes and load balancers say.

use std::borrow::Borrow;

use serde_json::Value;

/// Returns the addresses of some objects of a service; what a load balancer has not been given yet is left out.
pub(crate) fn of(objects: impl IntoIterator<Item = impl Borrow<Value>>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for object in objects {
        let object = object.borrow();
        let more = match object["kind"].as_str() {
            Some("HTTPRoute") => {
                texts(&object["spec"]["hostnames"]).map(|host| format!("http://{host}")).collect()
            }
            Some("Ingress") => ingress(object),
            Some("Service") => balanced(object),
            _ => Vec::new(),
        };
        for address in more {
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    items(list).filter_map(Value::as_str)
}

/// Returns the addresses that a load balancer was given.
fn given(object: &Value) -> impl Iterator<Item = &str> {
    items(&object["status"]["loadBalancer"]["ingress"])
        .filter_map(|one| one["hostname"].as_str().or_else(|| one["ip"].as_str()))
}

fn ingress(object: &Value) -> Vec<String> {
    let spec = &object["spec"];
    let has_certificate = object["metadata"]["annotations"]
        .get("alb.ingress.kubernetes.io/certificate-arn")
        .is_some_and(Value::is_string);
    let is_secure = |host: &str| {
        has_certificate
            || items(&spec["tls"]).any(|tls| match tls["hosts"].as_array() {
                Some(hosts) => hosts.iter().any(|one| one == host),
                None => true,
            })
    };
    let mut found = Vec::new();
    for rule in items(&spec["rules"]) {
        let hosts: Vec<&str> = match rule["host"].as_str() {
            Some(host) => vec![host],
            None => given(object).collect(),
        };
        for host in hosts {
            let scheme = if is_secure(host) { "https" } else { "http" };
            for path in items(&rule["http"]["paths"]) {
                let path = path["path"].as_str().filter(|path| *path != "/").unwrap_or_default();
                found.push(format!("{scheme}://{host}{path}"));
            }
        }
    }
    found
}

fn balanced(object: &Value) -> Vec<String> {
    if object["spec"]["type"] != "LoadBalancer" {
        return Vec::new();
    }
    let address = |host: &str, port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_ascii_lowercase();
        Some(format!("{protocol}://{host}:{}", port["port"].as_u64()?))
    };
    given(object)
        .flat_map(|host| items(&object["spec"]["ports"]).filter_map(move |port| address(host, port)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_those_that_a_user_can_open() {
        let paths = json!({"paths": [{"path": "/"}, {"path": "/api"}]});
        let ingress = json!({"kind": "Ingress", "spec": {
            "rules": [{"host": "shop.example.com", "http": paths}, {"http": {"paths": [{"path": "/"}]}}],
            "tls": [{"hosts": ["shop.example.com"]}],
        }});
        assert_eq!(of([&ingress]), ["https://shop.example.com", "https://shop.example.com/api"]);
        let mut known = ingress.clone();
        known["status"] = json!({"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}});
        assert_eq!(of([&known])[2], "http://lb.example.com");
        let mut service = json!({"kind": "Service", "spec": {"type": "LoadBalancer", "ports": [{"port": 53, "protocol": "UDP"}]}});
        assert!(of([&service]).is_empty());
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
        assert_eq!(of([&service]), ["udp://192.0.2.1:53"]);
        service["spec"]["type"] = json!("ClusterIP");
        assert!(of([&service]).is_empty());
        let route = json!({"kind": "HTTPRoute", "spec": {"hostnames": ["a.example.com"]}});
        assert_eq!(of([&route]), ["http://a.example.com"]);
    }
}
