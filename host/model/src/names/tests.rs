use super::*;
use proptest::prelude::*;

fn node(text: &str) -> NodeName {
    text.parse().unwrap()
}

#[test]
fn node_names_say_their_kind() {
    assert_eq!(node("C0w1").kind(), NodeKind::Worker);
    assert_eq!(node("C0w12").number(), Some(12));
    assert_eq!(node("C0e2").kind(), NodeKind::Etcd);
    assert_eq!(node("C0e2").cluster(), Some("C0".parse().unwrap()));
    assert_eq!(node("box").kind(), NodeKind::Scratch);
    assert_eq!(node("box").cluster(), None);
}

#[test]
fn nodes_are_ordered_as_people_count() {
    let mut nodes = ["C0w10", "C1w1", "C0w2", "C0e1", "box"].map(node);
    nodes.sort();
    assert_eq!(nodes, ["C0e1", "C0w2", "C0w10", "C1w1", "box"].map(node));
}

#[test]
fn bad_names_are_refused() {
    for text in ["", "C0w0", "C0w01", "C0e3", "C0s0", "t0", "0a", "C0 w1", "averyverylongname", "C0w1.c1", "ä", "lo"] {
        assert!(text.parse::<NodeName>().is_err(), "{text:?}");
    }
    for text in ["", "C0w1", "C0s0", "t0", "a-b", "toolong89", "9"] {
        assert!(text.parse::<ClusterName>().is_err(), "{text:?}");
    }
    for text in ["", "-a", "a-", "A", "a.b", "a/b", &"a".repeat(64)] {
        assert!(text.parse::<ContainerName>().is_err(), "{text:?}");
    }
    for text in ["", "1a", "-a", "a-", "A", "a.b", "a/b", &"a".repeat(64)] {
        assert!(text.parse::<ServiceName>().is_err(), "{text:?}");
    }
    for text in ["web", "C0w1.web", ".web", "C0.", "C0.Web"] {
        assert!(text.parse::<ServiceRef>().is_err(), "{text:?}");
    }
    for text in ["C0w1", "C0e1.c1", "my-box.c1", ".c1", "C0w1."] {
        assert!(text.parse::<ContainerRef>().is_err(), "{text:?}");
    }
    for text in ["C0w1", "C0w1:", ":eth0", "C0w1:a/b", "C0w1:sixteen-letters-"] {
        assert!(text.parse::<InterfaceRef>().is_err(), "{text:?}");
    }
}

#[test]
fn one_rule_holds_for_all_that_is_named() {
    for text in ["\u{1b}[31m", "a\nb", "a\u{200b}", "a\u{202e}b", "e\u{301}\u{301}\u{301}\u{301}\u{301}", ""] {
        assert!(text.parse::<CaptureName>().is_err() && text.parse::<NodeName>().is_err(), "{text:?}");
        assert!(format!("box/{text}").parse::<Target>().is_err(), "{text:?}");
        assert!(format!("box:{text}").parse::<InterfaceRef>().is_err(), "{text:?}");
        let error = format!("C0.{text}").parse::<IngressRef>().unwrap_err().to_string();
        assert!(untrusted::flaw(&error).is_none() && !error.contains('\n'), "{error:?}");
    }
    assert!("wire".parse::<CaptureName>().is_ok() && "C0w1.eth0".parse::<CaptureName>().is_ok());
    assert!("box/my ns".parse::<Target>().is_ok());
}

#[test]
fn words_with_another_meaning_are_no_names() {
    let capitals = RESERVED.iter().map(|word| word.to_ascii_uppercase());
    for word in RESERVED.iter().map(|word| (*word).to_owned()).chain(capitals) {
        assert!(word.parse::<NodeName>().is_err() && word.parse::<ClusterName>().is_err(), "{word}");
        assert!(!matches!(word.parse::<Target>(), Ok(Target::Node(_))), "{word}");
        let error = word.parse::<ClusterName>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{word}`")) && error.contains("another meaning"), "{error}");
    }
}

#[test]
fn targets_are_told_apart() {
    assert_eq!("base".parse::<Target>().unwrap(), Target::Base);
    assert!(matches!("C0w1".parse::<Target>().unwrap(), Target::Node(_)));
    assert!(matches!("C0.c1".parse::<Target>().unwrap(), Target::Container(_)));
    assert!(matches!("box/myns".parse::<Target>().unwrap(), Target::Named(..)));
    let interface: InterfaceRef = "C0w1:flannel.100".parse().unwrap();
    assert_eq!(interface.interface, "flannel.100");
}

/// Whether a type's schema takes a text.
fn schema_takes<T: JsonSchema>(text: &str) -> bool {
    let schema = T::json_schema(&mut SchemaGenerator::default());
    let pattern = schema.get("pattern").and_then(|pattern| pattern.as_str()).unwrap();
    regex::Regex::new(pattern).unwrap().is_match(text)
}

/// All that a type's parser takes, its schema takes.
fn schema_is_wide_enough<T: FromStr + JsonSchema>(text: &str) -> bool {
    text.parse::<T>().is_err() || schema_takes::<T>(text)
}

#[test]
fn schemas_take_names_of_every_form() {
    for text in ["base", "C0w1", "my-box", "C0.c1", "C0w1.c-1", "box/myns", "box/my ns_1", "box/ä:b"] {
        assert!(text.parse::<Target>().is_ok() && schema_takes::<Target>(text), "{text:?}");
    }
    for text in ["C0w1:flannel.100", "base:C0s0", "C0w1.c1:eth0", "box/my_ns:eth0"] {
        assert!(text.parse::<InterfaceRef>().is_ok() && schema_takes::<InterfaceRef>(text), "{text:?}");
    }
    assert!(!schema_takes::<Target>("a.b.c") && !schema_takes::<Target>("box/a/b"));
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_parses_prints_the_same(text in "\\PC{0,24}") {
        if let Ok(name) = text.parse::<NodeName>() { prop_assert_eq!(name.to_string(), text.clone()); prop_assert!(text.len() <= 15); }
        if let Ok(name) = text.parse::<Target>() { prop_assert_eq!(name.to_string(), text.clone()); }
        if let Ok(name) = text.parse::<InterfaceRef>() { prop_assert_eq!(name.to_string(), text.clone()); }
        if let Ok(name) = text.parse::<ClusterName>() {
            prop_assert_eq!(name.worker(7).cluster(), Some(name.clone()));
            prop_assert!(name.worker(99_999).as_str().len() <= 15);
        }
    }

    #[test]
    fn what_parses_is_taken_by_the_schema(text in "(C0|C0w1|box|a-b|base)([./][\\PC]{1,12})?(:\\PC{1,16})?") {
        prop_assert!(schema_is_wide_enough::<Target>(&text));
        prop_assert!(schema_is_wide_enough::<InterfaceRef>(&text));
        prop_assert!(schema_is_wide_enough::<NodeName>(&text));
        prop_assert!(schema_is_wide_enough::<ClusterName>(&text));
        prop_assert!(schema_is_wide_enough::<ContainerRef>(&text));
        prop_assert!(schema_is_wide_enough::<ServiceRef>(&text));
    }
}
