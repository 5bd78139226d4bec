use proptest::prelude::*;
use wasm_encoder::{Component, ComponentSectionId, Module, RawSection};

use super::*;
use crate::grants::Grant;
use crate::limits::Limit;

const TOML: &str = r#"
    name = "first-steps"
    version = "0.1.0"
    [grants]
    clusters = "makes two clusters"
    exec-node = "shows namespaces"
    [limits]
    workers = 6
"#;

#[test]
fn a_manifest_travels_with_its_lab() {
    for lab in [Module::new().finish(), Component::new().finish(), b"(module)".to_vec(), b" (component)".to_vec()] {
        assert_eq!(manifest(&lab).unwrap(), Manifest::unnamed());
        let with = embed(&lab, TOML).unwrap();
        let manifest = manifest(&with).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("first-steps", "0.1.0"));
        assert_eq!(manifest.grants[&Grant::ExecNode], "shows namespaces");
        assert_eq!(manifest.limits[&Limit::Workers], 6);
        let again = embed(&with, TOML).unwrap_err().to_string();
        assert!(again.contains("carries a manifest already"), "{again}");
    }
}

#[test]
fn text_can_carry_a_manifest() {
    let lab = format!("(module (@custom \"{SECTION}\" \"name = \\\"x\\\"\\nversion = \\\"1\\\"\"))");
    assert_eq!(manifest(lab.as_bytes()).unwrap().name, "x");
}

#[test]
fn only_the_outermost_section_counts() {
    let inner = embed(&Module::new().finish(), TOML).unwrap();
    let mut outer = Component::new();
    outer.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: &inner });
    assert_eq!(manifest(&outer.finish()).unwrap(), Manifest::unnamed());

    let mut twice = inner;
    let custom = CustomSection { name: SECTION.into(), data: TOML.as_bytes().into() };
    twice.push(custom.id());
    custom.encode(&mut twice);
    assert!(manifest(&twice).unwrap_err().to_string().contains("more than one"));
}

#[test]
fn reasons_are_words_that_can_be_seen() {
    let manifest = |reason: &str| {
        Manifest::parse(&format!("name = \"x\"\nversion = \"1\"\n[grants]\nprobe = {}", toml::Value::from(reason)))
    };
    for (reason, words) in [
        ("\u{200b}", "reason of one line"),
        ("a\u{61c}", "letter 2: U+061C"),
        ("a\u{200f}b", "letter 2: U+200F"),
        ("a b\u{2028}c", "letter 4: U+2028"),
        ("\u{e0041}a", "letter 1: U+E0041"),
        ("a\u{202e}", "letter 2: U+202E"),
        ("a\u{2066}", "letter 2: U+2066"),
        ("a\u{feff}", "letter 2: U+FEFF"),
        ("a\u{200d}", "letter 2: U+200D"),
        ("\u{fe0f}a", "letter 1: U+FE0F"),
        ("a\u{301}\u{301}\u{301}\u{301}\u{301}", "letter 6: U+0301"),
        ("a\u{1b}[2J", "letter 2: U+001B"),
        ("\u{2800}\u{3164}", "letter 1: U+2800"),
        (".", "reason of one line"),
        ("a\nb", "reason of one line"),
    ] {
        let error = manifest(reason).unwrap_err().to_string();
        assert!(error.contains("[grants] probe") && error.contains(words), "{error}");
    }
    let spaced = manifest(&format!("looks{}Grant this? [y/N] y\u{a0}\u{3000}", " ".repeat(100))).unwrap();
    assert_eq!(spaced.grants[&Grant::Probe], "looks Grant this? [y/N] y");
    let error = Manifest::parse("name = \"\u{1b}[31m\u{202e}\" x").unwrap_err().to_string();
    assert_eq!(knetsim_model::untrusted::flaw(&error), None, "{error:?}");
}

#[test]
fn bad_manifests_are_refused_in_words() {
    let with = |more: &str| format!("name = \"x\"\nversion = \"1\"\n{more}");
    for (toml, words) in [
        ("name = ", "line 1"),
        ("name = \"x\"", "version"),
        ("name = \"X y\"\nversion = \"1\"", "lower case letters"),
        ("name = \"x\"\nversion = \"\"", "such as `0.1.0`"),
        (&with("colour = 1"), "colour"),
        (&with("[grants]\neverything = \"why not\""), "there is no grant `everything`; there are: observe, "),
        (&with("[grants]\nexec = \" \""), "give a reason"),
        (&with("[grants]\nexec = \"a\\u001b[2Jb\""), "letter 2: U+001B"),
        (&with("[grants]\nexec = \"two\\nlines\""), "give a reason"),
        (&with("[limits]\nelephants = 1"), "there is no limit `elephants`"),
        (&with("[limits]\nworkers = 70000"), "0 to 65534"),
        (&with("[limits]\nworkers = -1"), "line 4"),
    ] {
        let error = Manifest::parse(toml).unwrap_err().to_string();
        assert!(error.starts_with("lab.toml: ") && error.contains(words), "{toml}\n{error}");
    }
}

#[test]
fn inspection_tells_what_a_file_is() {
    let text = b"(component (import \"a:b/c@1.0.0\" (instance)) (import \"x\" (func)))";
    let found = inspect(text).unwrap();
    assert_eq!((found.kind, found.size, found.manifest), (Kind::Text, text.len(), None));
    assert_eq!(found.imports, ["a:b/c@1.0.0", "x"]);
    let module = wat::parse_str(
        r#"(module (import "a" "f" (func)) (import "a" "g" (func)) (import "b" "h" (func)) (func (export "run")))"#,
    );
    let found = inspect(&module.unwrap()).unwrap();
    assert_eq!(
        (found.kind, found.imports, found.exports),
        (Kind::Module, vec!["a".into(), "b".into()], vec!["run".into()])
    );
}

#[test]
fn a_new_lab_is_good_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk");
    let dir = folder.path().join("my-lab");
    create(&dir, "my-lab", Some(&sdk), Template::Script).unwrap();
    let toml = std::fs::read_to_string(dir.join("lab.toml")).unwrap();
    assert_eq!(Manifest::parse(&toml).unwrap().name, "my-lab");
    assert!(create(&dir, "my-lab", Some(&sdk), Template::Script).unwrap_err().to_string().contains("File exists"));
    assert!(create(&folder.path().join("other"), "Not a name", Some(&sdk), Template::Chapter).is_err());
    assert!(create(&folder.path().join("other"), "other", Some(folder.path()), Template::Chapter).is_err());
    assert!(!folder.path().join("other").exists());
}

proptest! {
    #[test]
    fn reading_a_manifest_never_panics(bytes: Vec<u8>) {
        let _ = (manifest(&bytes), inspect(&bytes));
    }

    #[test]
    fn reading_a_broken_lab_never_panics(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut lab = embed(&Component::new().finish(), TOML).unwrap();
        let at = at.index(lab.len());
        lab[at] = byte;
        lab.truncate(cut.index(lab.len() + 1));
        let _ = (manifest(&lab), inspect(&lab), crate::componentize(&lab));
    }

    #[test]
    fn reading_lab_toml_never_panics(text in "\\PC*") {
        let _ = Manifest::parse(&text);
    }

    #[test]
    fn any_good_manifest_is_read_as_it_was_written(name in "[a-z0-9-]{1,63}", reason in "[a-zA-Z0-9äß,.()-]{1,50}( [a-zA-Z0-9äß,.()-]{1,50}){0,2}x", workers in 0u64..65_535) {
        let toml = format!("name = \"{name}\"\nversion = \"1\"\n[grants]\nprobe = \"{reason}\"\n[limits]\nworkers = {workers}\n");
        let lab = embed(&Module::new().finish(), &toml).unwrap();
        let read = manifest(&lab).unwrap();
        prop_assert_eq!((&read.name, &read.grants[&Grant::Probe], read.limits[&Limit::Workers]), (&name, &reason, workers));
    }
}
