use super::*;

#[test]
fn what_answers_another_question_is_passed_over() {
    let mut session = Session::open(Protocol::Route).unwrap();
    let links = Message::new(libc::RTM_GETLINK, libc::NLM_F_DUMP as u16, &[0; 16]);
    let mut bytes = Vec::new();
    session.append(&mut bytes, &links, false);
    session.ask(&bytes).unwrap();
    // Nobody waits for that answer.
    let rules = Message::new(libc::RTM_GETRULE, 0, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let found = loop {
        match session.dump(&rules) {
            // One dump at a time: the kernel is still at the other.
            Err(e) if e.errno() == Some(libc::EBUSY) => {}
            found => break found.unwrap(),
        }
    };
    let kinds: Vec<u16> = found.replies().map(|reply| reply.kind).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == libc::RTM_NEWRULE), "{kinds:?}");
    assert!(!session.is_broken());
}
