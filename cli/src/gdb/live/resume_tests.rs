use super::*;

#[test]
fn a_failure_never_looks_like_a_success() {
    assert_eq!(ended(Some(&End::Guest { code: 0 })), Reason::Exited(0));
    assert_eq!(ended(Some(&End::Guest { code: 3 })), Reason::Exited(3));
    assert_eq!(ended(Some(&End::Guest { code: 256 })), Reason::Exited(255));
    assert_eq!(ended(Some(&End::PowerOff)), Reason::Exited(0));
    let abort = Reason::Terminated(Signal::SIGABRT);
    assert_eq!(ended(Some(&End::TripleFault { vcpu: 0 })), abort);
    assert_eq!(ended(None), Reason::Terminated(Signal::SIGKILL));
}
