//! The claim: probes fire at the guest's own functions, wherever it goes: at their beginnings with
//! the arguments of the call, at their returns with the result, inside, and step by step.

use crate::harness::{Finished, jitterbug};

tests! {
    Nothing: a_function_that_is_not_there;
    Kvm: functions_on_every_vcpu, calls_and_returns_with_their_arguments, a_function_step_by_step,
        a_function_that_is_never_called;
}

/// The figure behind `name[key] == what`.
fn figure(run: &Finished, line: &str) -> u64 {
    let mut found = run.lines_with(line);
    let figure = found.next().and_then(|figure| figure.split(' ').next()?.parse().ok());
    figure.unwrap_or_else(|| panic!("no `{line}`: {run}"))
}

fn a_function_that_is_not_there() {
    jitterbug("run hello").probe("(vprobe GUEST:ENTER:man 0)").ends_with(2).shows("").says(&[
        "-e #1:1:9",
        "hello has no symbol man",
        "did you mean main?",
    ]);
    jitterbug("run hello --symbols none")
        .probe("(vprobe GUEST:ENTER:main 0)")
        .ends_with(2)
        .says(&["there are no symbols to look main up in; write the address"]);
}

fn functions_on_every_vcpu() {
    let run = jitterbug("run tsc-sync-fixed --cpus 3 --watchdog off")
        .probe(
            r#"(defstring s)
               (vprobe GUEST:ENTER:start_cpu (printf "starting %d on %d\n" ARG0 VCPUID))
               (vprobe GUEST:EXIT:start_cpu (printf "started on %d\n" VCPUID))
               (vprobe GUEST:ENTER:mp_startup_common
                   (gueststack s) (printf "up %d\n" VCPUID) (printf "%s\n" s))"#,
        )
        .ends_with(0);
    assert_eq!(run.lines_with("starting ").collect::<Vec<_>>(), ["1 on 0", "2 on 0"], "{run}");
    assert_eq!(run.lines_with("started on ").collect::<Vec<_>>(), ["0", "0"], "{run}");
    let up: Vec<&str> = run.lines_with("up ").collect();
    assert_eq!(up, ["1", "2"], "{run}");
    let named = run.stderr.matches("mp_startup_common+0x0 (mp_startup.c:").count();
    assert_eq!(named, 2, "{run}");
}

/// Whatever goes to the console goes through `print(text, length)`.
fn calls_and_returns_with_their_arguments() {
    let run = jitterbug("run hello --cpus 1")
        .probe(
            r#"aggr n[0][1]; aggr length[0][1];
               GUEST:ENTER:print* { n[PROBENAME] = count(); }
               GUEST:ENTER:print(int text, int bytes) { length["all"] = sum(bytes); }
               GUEST:EXIT:print { n["back"] = count(); }"#,
        )
        .ends_with(0);
    let calls = figure(&run, r#"  n["GUEST:ENTER:print"] == count "#);
    assert!(calls > 1, "{run}");
    assert_eq!(figure(&run, r#"  n["back"] == count "#), calls, "{run}");
    assert_eq!(figure(&run, r#"  n["GUEST:ENTER:printf"] == count "#), 1, "{run}");
    assert_eq!(figure(&run, r#"  length["all"] == sum "#), run.stdout.len() as u64, "{run}");
}

fn a_function_step_by_step() {
    let run = jitterbug("run hello --cpus 1")
        .probe(
            r"(defaggr at 0 1) (defstring s)
              (vprobe GUEST:STEP:print (setstr s (symname RIP)) (aggr at () (s) (count)))",
        )
        .ends_with(0);
    // Called for `%u`, for `%s`, for what is between, and for the number's digits.
    assert!(figure(&run, r#"  at["print"] == count "#) >= 4, "{run}");
    let inside: Vec<&str> = run.lines_with(r#"  at["print+"#).collect();
    assert!(inside.len() > 20, "{} places: {run}", inside.len());
    // Its loop writes a character each time round.
    let rounds = inside.iter().filter_map(|place| place.rsplit(' ').next()?.parse::<usize>().ok());
    assert_eq!(rounds.max(), Some(run.stdout.len()), "{run}");
    assert_eq!(run.lines_with("  at[").count(), inside.len() + 1, "elsewhere: {run}");
}

fn a_function_that_is_never_called() {
    jitterbug("run hello")
        .probe("(vprobe GUEST:ENTER:trap 0) (vprobe GUEST:EXIT:main 0)")
        .ends_with(0)
        .says(&["warning: -e #1:1: GUEST:ENTER:trap never fired"]);
}
