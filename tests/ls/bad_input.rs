//! What `ls` answers to questions that have no answer.

use crate::common;

#[track_caller]
fn refused(arguments: &[&str], code: i32) -> String {
    let output = common::run(&[&["ls"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_unknown_process_namespace_or_column_is_an_error_with_a_hint() {
    for (arguments, code, message) in [
        (&["-p", "4194304"][..], 1, "error: no process 4194304"),
        (&["7"], 1, "error: no namespace with inode 7"),
        (&["-o", "NS,SIZE"], 2, "error: unknown column \"SIZE\""),
        (&["-o", ","], 2, "error: no column chosen"),
        (&["-o", ""], 2, "error: no column chosen"),
    ] {
        let text = refused(arguments, code);
        assert!(text.starts_with(message), "{text}");
        assert!(text.contains("\nhint:"), "{text}");
    }
}

#[test]
fn an_error_in_a_filter_shows_where() {
    let text = refused(&["-Q", "NPROCS > 1 && SIZE == 2"], 2);
    let expected = "error: malformed filter\n\
                    cause: unknown column \"SIZE\"\n         \
                    NPROCS > 1 && SIZE == 2\n                       ^\n\
                    hint:  ";
    assert!(text.starts_with(expected), "{text}");
    assert!(refused(&["-Q", "TYPE =~ '('"], 2).contains("malformed regular expression"));
    assert!(refused(&["-Q", ""], 2).contains("expected a column or a value"));
}

#[test]
fn a_filter_that_compares_numbers_with_words_is_malformed() {
    for filter in ["PID > \"abc\"", "'x' != NPROCS"] {
        let text = refused(&["-Q", filter], 2);
        assert!(text.contains("is compared with a number, and is none\n"), "{text}");
    }
    assert!(common::run(&["ls", "-Q", "PID > '1' && USER > 'abc'"]).status.success());
}

#[test]
fn what_is_wrong_in_a_huge_filter_or_list_is_shown_and_not_all_of_it() {
    let huge = "NPROCS > 1 && ".repeat(8_000);
    for arguments in [
        &["-Q", &format!("{huge} ?")][..],
        &["-Q", &"!".repeat(100_000)],
        &["-Q", &"A".repeat(100_000)],
        &["-Q", &format!("PID > '{}'", "a".repeat(100_000))],
        &["-Q", &format!("USER =~ '({}'", "a".repeat(100_000))],
        &["-o", &"A".repeat(100_000)],
    ] {
        let text = refused(arguments, 2);
        assert!(text.len() < 1_000, "{} bytes, {:.300}", text.len(), text);
    }
}

#[test]
fn a_namespace_of_another_kind_than_asked_for_is_an_error() {
    let ino = common::inode_of(std::process::id() as i32, "uts").to_string();
    let text = refused(&["-t", "net", &ino], 1);
    assert_eq!(text, format!("error: namespace {ino} is of kind uts\nhint:  leave out -t, or say -t uts\n"));
}

#[test]
fn a_thread_is_no_process_and_its_process_is_named() {
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    let text = refused(&["-p", &tid.to_string()], 1);
    assert_eq!(text, format!("error: no process {tid}\nhint:  {tid} is a thread of process {}\n", std::process::id()));
}

#[test]
fn bad_usage_exits_with_2() {
    for arguments in [
        &["-t", "disk"][..],
        &["-p", "0"],
        &["-p", "-1"],
        &["-p", "x"],
        &["net"],
        &["-J", "-r"],
        &["-T", "owner"],
        &["-p", "1", "-P"],
        &["-p", "1", "4026531837"],
        &["-T=sideways"],
        &["--no-such-option"],
    ] {
        let text = refused(arguments, 2);
        assert!(text.starts_with("error: "), "{text}");
    }
}
