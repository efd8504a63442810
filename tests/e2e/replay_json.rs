//! The claim: `replay --json` prints one document that says whether the finding was reproduced, on
//! its own build and on another one, and what scripts recorded.

use serde_json::Value;

use crate::harness::jitterbug;
use crate::image;
use crate::scratch::Folder;

tests! {
    Kvm: reproduced, not_reproduced, the_same_names_everywhere;
}

/// A finding's file, and the document of the hunt that found it.
fn hunted(folder: &Folder, guest: &str) -> (String, Value) {
    let hunt = jitterbug(&format!("hunt {guest} --json --out")).arg(&**folder).ends_with(1).json();
    (hunt["findings"][0]["file"].as_str().expect("a finding").to_owned(), hunt)
}

fn reproduced() {
    let folder = Folder::new();
    let (file, hunt) = hunted(&folder, "lost-update");
    let code = r#"HV_Exit { seen[EXITNAME]++; } VMMUnload { printf("end %d\n", VCPUID); }"#;
    let run = jitterbug("replay --json --repeat 2").arg(&file).probe(code).ends_with(0);
    let report = run.json();
    assert_eq!((&report["reproduced"], &report["runs"]), (&true.into(), &2.into()), "{run}");
    assert!(report["difference"].is_null() && report["switches"].is_null(), "{run}");
    let found = &hunt["findings"][0]["finding"];
    assert_eq!(report["hash"], found["run"]["hash"], "{run}");
    assert_eq!(report["file"], file.as_str(), "{run}");
    let lines = report["script_output"].as_array().expect("lines");
    let ends = lines.iter().filter(|line| line["text"] == "end 0").count();
    assert_eq!((ends, &report["script_lines_dropped"]), (2, &0.into()), "{run}");
    let firings = &report["probes"][0]["firings"];
    assert!(firings.as_u64().is_some_and(|firings| firings > 0), "{run}");
}

fn not_reproduced() {
    let folder = Folder::new();
    let (file, _) = hunted(&folder, "lost-update");
    let run = jitterbug("replay --json --guest lost-update-fixed").arg(&file).ends_with(5);
    let report = run.json();
    assert_eq!(report["reproduced"], false, "{run}");
    assert!(report["difference"].as_str().is_some_and(|text| !text.is_empty()), "{run}");
    assert!(report["switches"]["found"].as_u64().is_some(), "{run}");
    // Nothing is printed if the finding can't be replayed.
    jitterbug("replay --json --guest hello").arg(&file).ends_with(2).shows("");
}

/// The documents use the same names for a machine and for a verdict.
fn the_same_names_everywhere() {
    let folder = Folder::new();
    let guest = folder.file("guest.elf", image::start_and_look().bytes());
    let guest = guest.to_str().expect("UTF-8");
    let (file, hunt) = hunted(&folder, &format!("{guest} --cpus 2"));
    let run = jitterbug("run --json --cpus 2").arg(guest).start().ends_with_any(&[0, 1]).1.json();
    let replay = jitterbug("replay --json").arg(&file).ends_with(0).json();
    let explain = jitterbug("explain --json").arg(&file).start().ends_with_any(&[0, 1]).1.json();
    for document in [&run, &hunt, &replay, &explain, &hunt["findings"][0]["finding"]] {
        assert_eq!(document["machine"], hunt["machine"], "{document:#}");
    }
    assert_eq!(hunt["machine"]["guest"], guest);
    for document in [&run["boots"][0], &hunt["findings"][0]["finding"], &replay, &explain] {
        assert!(document["verdict"].is_string(), "{document:#}");
    }
}
