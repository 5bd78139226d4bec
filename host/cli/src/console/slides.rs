//! The forms of the course's slides, written as Python: `C0.get("w1").create_container("ic0")`. Each is turned into
//! the line that says the same today.

use std::net::Ipv4Addr;

use knetsim_model::names::NodeKind;
use knetsim_model::{ClusterName, ContainerRef, NodeName};

use super::literal::{Reader, Value};
use super::words::quoted;

/// What there is, for who wrote something else.
const FORMS: &str = "the slides' forms are: C0w1.exec_container(NAME, COMMAND), C0w1.exec_container_async(NAME, COMMAND), \
     C0w1.create_container(NAME), C0w1.delete_container(NAME), C0w1.run_ingress(NAME, PORT, PATHS), \
     C0.kp_vip_add(ADDRESS, NAMES), and C0.get(\"w1\") for C0w1";
/// The slides' server of a static answer.
const SERVER: &str = "./utils/ss.py";
/// What does the same today, in every container.
const SERVE: &str = "knetsim serve";

/// The form in a line, where it is one: after `py`, or a call by its looks.
pub(super) fn form(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("py").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    {
        return Some(rest.trim());
    }
    let (called, _) = line.split_once('(')?;
    let ident = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (called.contains('.') && called.split('.').all(ident)).then_some(line)
}

/// Whether a form goes on in the next line: a bracket is open.
pub(super) fn goes_on(line: &str) -> bool {
    let Some(form) = form(line) else { return false };
    let (mut open, mut quote) = (0_i32, None);
    for c in form.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(begun), c) if begun == c => quote = None,
            (None, '(' | '[' | '{') => open += 1,
            (None, ')' | ']' | '}') => open -= 1,
            _ => {}
        }
    }
    open > 0 && quote.is_none()
}

/// The line that says the same today.
pub(super) fn today(form: &str) -> Result<String, String> {
    let (mut reader, wrong) = (Reader::new(form), |why: String| format!("{why}; {FORMS}"));
    let mut subject = reader.name().ok_or_else(|| FORMS.to_owned())?.to_owned();
    loop {
        if !reader.takes('.') {
            return Err(FORMS.to_owned());
        }
        let method = reader.name().ok_or_else(|| FORMS.to_owned())?.to_owned();
        let arguments = reader.arguments().map_err(wrong)?;
        match (method.as_str(), arguments.as_slice()) {
            ("get", [Value::Text(node)]) => subject += node,
            _ if !reader.at_end() => return Err(wrong(format!("nothing can follow {method}(...)"))),
            _ => return call(&subject, &method, &arguments),
        }
    }
}

fn call(subject: &str, method: &str, arguments: &[Value]) -> Result<String, String> {
    use Value::{List, Number, Text};
    match (method, arguments) {
        ("exec_container", [Text(name), Text(command)]) => {
            Ok(format!("{} {}", container(subject, name)?, program(command)?))
        }
        ("exec_container_async", [Text(name), Text(command)]) => {
            Ok(format!("{} {} &", container(subject, name)?, program(command)?))
        }
        ("create_container", [Text(name)]) => Ok(format!("create container {}", container(subject, name)?)),
        ("delete_container", [Text(name)]) => Ok(format!("delete container {}", container(subject, name)?)),
        ("kp_vip_add", [Text(address), List(names)]) => service(subject, address, names),
        ("run_ingress", [Text(name), Number(port), List(paths)]) => ingress(subject, name, *port, paths),
        _ => Err(format!("{subject}.{method} with such arguments is none of them; {FORMS}")),
    }
}

fn worker(subject: &str) -> Result<(NodeName, ClusterName), String> {
    let node: NodeName = subject.parse().map_err(|wrong| format!("{wrong}"))?;
    match (node.kind(), node.cluster()) {
        (NodeKind::Worker, Some(cluster)) => Ok((node, cluster)),
        _ => Err(format!("{subject} is no worker: only workers have containers")),
    }
}

fn container(subject: &str, name: &str) -> Result<ContainerRef, String> {
    format!("{}.{name}", worker(subject)?.0).parse().map_err(|wrong| format!("{wrong}"))
}

/// A command, whose words the slides leave to a shell.
fn program(command: &str) -> Result<String, String> {
    let command = command.trim().trim_end_matches('&').trim_end();
    match command.strip_prefix(SERVER) {
        _ if command.is_empty() || command.contains(char::is_control) => Err("there is no command in it".to_owned()),
        Some(arguments) if arguments.starts_with(' ') => Ok(format!("{SERVE}{arguments}")),
        _ => Ok(command.to_owned()),
    }
}

fn service(subject: &str, address: &str, names: &[Value]) -> Result<String, String> {
    let cluster: ClusterName = subject.parse().map_err(|wrong| format!("{wrong}"))?;
    let vip: Ipv4Addr = address.parse().map_err(|_| format!("`{address}` is not an address"))?;
    let name = format!("vip-{}", vip.to_string().replace('.', "-"));
    let endpoints: Vec<_> = names.iter().map(|name| name.text().map(quoted)).collect::<Option<_>>().ok_or(FORMS)?;
    Ok(format!("create service {cluster}.{name} --vip {vip} {}", endpoints.join(" ")))
}

fn ingress(subject: &str, name: &str, port: u64, paths: &[Value]) -> Result<String, String> {
    let (worker, cluster) = worker(subject)?;
    let path =
        |entry: &Value| Some(quoted(&format!("{}={}", entry.get("path")?.text()?, entry.get("endpoint")?.text()?)));
    let paths: Vec<_> =
        paths.iter().map(path).collect::<Option<_>>().ok_or("a path is {\"path\": ..., \"endpoint\": ...}")?;
    let paths: String = paths.iter().map(|path| format!(" --path {path}")).collect();
    Ok(format!("create ingress {cluster}.{} --worker {worker} --port {port}{paths}", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_of_the_slides_has_its_line_today() {
        for (slide, line) in [
            (r#"py C0w1.exec_container("c1", "ifconfig")"#, "C0w1.c1 ifconfig"),
            (r#"py C0w1.create_container("c10")"#, "create container C0w1.c10"),
            (r#"py C0w1.delete_container("c10")"#, "delete container C0w1.c10"),
            (
                r#"C0.kp_vip_add("100.64.10.1", ["c2", "c3"])"#,
                "create service C0.vip-100-64-10-1 --vip 100.64.10.1 c2 c3",
            ),
            (r#"C0.get("w2").create_container("ic0")"#, "create container C0w2.ic0"),
            (r#"C0.get("w2").exec_container_async("ic0", "./utils/ss.py S1-W2")"#, "C0w2.ic0 knetsim serve S1-W2 &"),
            (
                "C0.get(\"w1\").run_ingress(\"grp1\",  \n  8001, [{\"path\": \"/svc1\", \"endpoint\": \"100.64.11.1:8000\"},\n\
                 {\"path\": \"/svc2\", \"endpoint\": \"100.64.11.2:8000\"}])",
                "create ingress C0.grp1 --worker C0w1 --port 8001 --path /svc1=100.64.11.1:8000 --path /svc2=100.64.11.2:8000",
            ),
            (r#"py C0w1.exec_container('c1', 'ip -br addr | grep eth0')"#, "C0w1.c1 ip -br addr | grep eth0"),
        ] {
            assert_eq!(today(form(slide).unwrap()).as_deref(), Ok(line), "{slide}");
            assert!(!goes_on(slide));
        }
    }

    #[test]
    fn other_lines_are_no_forms() {
        for line in ["C0w1.c1 echo (a)", "C0w1 py.test(1)", "pyx", "ping(C0)", "C0w1 ls", "create container C0w1.c1"] {
            assert_eq!(form(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_none_of_the_forms_is_told_what_there_is() {
        for (slide, words) in [
            ("py", "create_container"),
            ("py 1 + 1", "create_container"),
            ("py C0w1.dance()", "C0w1.dance"),
            ("py C0w1.create_container(c10)", "`c10`"),
            ("py C0w1.create_container(\"C 10\")", "container's name"),
            ("py C0e1.create_container(\"c10\")", "no worker"),
            ("py C0w1.create_container(\"a\").b()", "nothing can follow"),
            ("py C0w1.exec_container(\"c1\", \" \")", "no command"),
            ("py C0.kp_vip_add(\"100.64\", [\"c2\"])", "not an address"),
            ("py C0w1.create_container(\"a\"", "`)`"),
        ] {
            let error = today(form(slide).unwrap()).unwrap_err();
            assert!(error.contains(words), "{slide}: {error}");
        }
    }

    #[test]
    fn an_open_bracket_goes_on() {
        assert!(goes_on("C0.get(\"w1\").run_ingress(\"grp1\","));
        assert!(goes_on("py C0.kp_vip_add(\"a)\", ["));
        assert!(!goes_on("C0w1 echo ("));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(py )?[C0w1.get(\"'\\[\\]{}:, )\\\\é]{0,40}") {
            let _ = (goes_on(&text), form(&text).map(today));
        }

        #[test]
        fn no_form_says_more_than_one_line(name in "\\PC{0,12}", command in "[\\PC\n]{0,12}") {
            let name = name.replace(['"', '\\'], "");
            let command = command.replace(['"', '\\'], "");
            if let Ok(line) = today(&format!("C0w1.exec_container(\"{name}\", \"{command}\")")) {
                prop_assert!(!line.contains('\n'));
                let begin = format!("C0w1.{name} ");
                prop_assert!(line.starts_with(&begin));
            }
        }
    }
}
