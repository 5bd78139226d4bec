//! A chapter for tests of this module.

use knetsim_model::chapter::{AnswerKind, Outline, Section, Task};

use super::progress::Progress;
use super::session::Session;

const BODY: &str = "\
A *namespace* has its own devices, addresses and routes. Make one on `box`:

```sh box
ip netns add blue
```

```
  box ──── blue
```

| command | shows |
|---|---|
| `ip netns` | namespaces with a name |
| `lsns -t net` | all of them |
";

pub(crate) fn outline() -> Outline {
    let task = |name: &str, title: &str, text: &str| Task {
        name: name.to_owned(),
        title: title.to_owned(),
        text: text.to_owned(),
        hints: vec![],
        after: vec![],
        question: None,
        probes: false,
    };
    let hints = vec!["`ip netns help` says how.".to_owned(), "`ip netns add blue`".to_owned()];
    let make = Task { hints, ..task("make", "Make a namespace", "Make the namespace `blue` on `box`.") };
    let address = task("address", "Give it an address", "Give its `lo` the address 127.0.0.1.");
    let choices = vec!["1".to_owned(), "none".to_owned()];
    let question = task("devices", "Count its devices", "How many devices has a new namespace?");
    let question = Task { question: Some(AnswerKind::Choice(choices)), ..question };
    let delete = task("delete", "Delete it", "Delete `blue`.");
    let delete = Task { after: vec!["make".to_owned()], ..delete };
    Outline {
        title: "Namespaces".to_owned(),
        minutes: 10,
        prerequisites: vec![],
        sections: vec![
            Section { title: "By hand".to_owned(), body: BODY.to_owned(), tasks: vec![make, address, question] },
            Section { title: "Gone".to_owned(), body: "What is made can be deleted.".to_owned(), tasks: vec![delete] },
        ],
    }
}

pub(crate) fn session() -> Session {
    Session::new("sample", outline(), Progress::default())
}
