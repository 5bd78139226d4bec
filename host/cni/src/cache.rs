//! What the runtime keeps of each attachment: `/var/lib/cni/results/<network>-<container id>-<interface>`,
//! in the reference library's form (`libcni/api.go`, `cniCacheV1`), so that `cnitool` of anybody finds it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use knetsim_model::go_json;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attachment::Attachment;
use crate::config::{NetworkList, Object};
use crate::error::Error;
use crate::files::{Files, Modes};
use crate::result::AddResult;

const FOLDER: &str = "/var/lib/cni/results";
const KIND: &str = "cniCacheV1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    kind: String,
    container_id: String,
    /// The configuration list as it was written, in base64.
    config: String,
    if_name: String,
    network_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    netns: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cni_args: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    capability_args: Object,
    #[serde(default)]
    result: Value,
}

fn path(network: &str, attachment: &Attachment) -> String {
    format!("{FOLDER}/{network}-{}-{}", attachment.container_id, attachment.ifname)
}

/// Keeps the result of ADD.
pub(crate) fn keep(
    files: &Files,
    list: &NetworkList,
    attachment: &Attachment,
    result: &AddResult,
) -> Result<(), Error> {
    let kept = Kept {
        kind: KIND.to_owned(),
        container_id: attachment.container_id.clone(),
        config: BASE64_STANDARD.encode(&list.bytes),
        if_name: attachment.ifname.clone(),
        network_name: list.name.clone(),
        netns: attachment.netns_path.clone(),
        cni_args: attachment.args.clone(),
        capability_args: attachment.capabilities.clone(),
        result: result.to_json(list.version),
    };
    let text = serde_json::to_vec(&kept).map_err(Error::decode("the result"))?;
    files.write(&path(&list.name, attachment), &text, Modes { folder: 0o700, file: 0o600 })
}

/// The network as it was at ADD; none where that is not there or can't be understood.
pub(crate) fn network(files: &Files, name: &str, attachment: &Attachment) -> Option<NetworkList> {
    let kept = read(files, &path(name, attachment))?;
    NetworkList::parse(&BASE64_STANDARD.decode(kept.config).ok()?).ok()
}

/// The result of ADD; none where it is not there or can't be understood.
pub(crate) fn result(files: &Files, list: &NetworkList, attachment: &Attachment) -> Option<AddResult> {
    let kept = read(files, &path(&list.name, attachment))?;
    AddResult::from_json(&kept.result, list.version).ok()
}

/// Forgets an attachment.
pub(crate) fn forget(files: &Files, list: &NetworkList, attachment: &Attachment) -> Result<(), Error> {
    files.remove(&path(&list.name, attachment)).map(drop)
}

/// All attachments that are kept of a network. Their namespaces are not opened.
pub(crate) fn attachments(files: &Files, list: &NetworkList) -> Result<Vec<Attachment>, Error> {
    let names = files.list(FOLDER)?;
    let kept = names.iter().filter_map(|name| read(files, &format!("{FOLDER}/{name}")));
    let attachment = |kept: Kept| Attachment {
        ifname: kept.if_name,
        args: kept.cni_args,
        capabilities: kept.capability_args,
        ..Attachment::new(&kept.container_id, None, &kept.netns)
    };
    Ok(kept.filter(|kept| kept.network_name == list.name).map(attachment).collect())
}

fn read(files: &Files, path: &str) -> Option<Kept> {
    let bytes = files.read(path).inspect_err(|error| tracing::warn!("{error}")).ok()??;
    let kept: Kept = go_json::from_slice(&bytes).inspect_err(|error| tracing::warn!("{path}: {error}")).ok()?;
    (kept.kind == KIND).then_some(kept)
}
