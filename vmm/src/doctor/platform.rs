//! What the host is: kernel, KVM's modules with their parameters, processor. For information only:
//! no mechanism is chosen by it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

const MODULES: &str = "/sys/module";

/// The parameters of `kvm_intel` and `kvm_amd` that change how a guest is run (Linux,
/// `Documentation/admin-guide/kernel-parameters.txt`, entries `kvm-intel.` and `kvm-amd.`; others
/// in the modules' sources).
const PARAMETERS: [&str; 9] = [
    "avic",
    "enable_apicv",
    "ept",
    "flexpriority",
    "npt",
    "unrestricted_guest",
    "vgif",
    "vls",
    "vnmi",
];

/// A description of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Platform {
    /// The kernel's release.
    pub kernel: String,
    /// The KVM modules for this processor.
    pub modules: Vec<String>,
    /// The processor's name.
    pub processor: String,
    /// The modules' parameters that change how a guest is run, such as `ept`: `Y` or `N`.
    pub parameters: BTreeMap<String, String>,
}

impl Platform {
    /// Reads it from `/proc` and `/sys`; what can't be read is left empty.
    pub(super) fn read() -> Self {
        let modules = modules();
        let cpuinfo = text("/proc/cpuinfo");
        let processor = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown processor", |(_, name)| name.trim());
        Self {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            parameters: modules.iter().flat_map(|module| parameters(module)).collect(),
            modules,
            processor: processor.to_owned(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, modules, processor, parameters } = self;
        write!(f, "Linux {kernel}, {}, {processor}", modules.join(", "))?;
        let off = parameters.iter().filter(|(_, value)| ["N", "0"].contains(&value.as_str()));
        let off: Vec<&str> = off.map(|(name, _)| name.as_str()).collect();
        if off.is_empty() { Ok(()) } else { write!(f, ", without {}", off.join(", ")) }
    }
}

fn modules() -> Vec<String> {
    let entries = fs::read_dir(MODULES).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut modules: Vec<_> = names.filter(|name| name.starts_with("kvm")).collect();
    modules.sort();
    modules
}

fn parameters(module: &str) -> Vec<(String, String)> {
    let folder = Path::new(MODULES).join(module).join("parameters");
    let value = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let known = PARAMETERS.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?)));
    known.map(|(name, value)| (name, value.trim().to_owned())).collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
