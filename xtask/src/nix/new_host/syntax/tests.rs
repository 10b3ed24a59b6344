//! Tests of the edits of Nix text.

use super::*;

#[test]
fn an_entry_is_added_behind_the_last_one_and_all_else_stays() {
    for (before, after) in [
        ("{\n  a = 1;\n}\n", "{\n  a = 1;\n  pi = {\n    x = 1;\n  };\n}\n"),
        // Comments stay where they are.
        (
            "# The hosts.\n{\n  # a\n  a = 1; # one }\n  # b = 2;\n}\n# end\n",
            "# The hosts.\n{\n  # a\n  a = 1; # one }\n  pi = {\n    x = 1;\n  };\n  # b = 2;\n}\n# end\n",
        ),
        ("{ }\n", "{\n  pi = {\n    x = 1;\n  };\n}\n"),
        ("{\n}", "{\n  pi = {\n    x = 1;\n  };\n}"),
        ("{ a = 1; }\n", "{ a = 1;\n  pi = {\n    x = 1;\n  };\n}\n"),
        ("rec {\n\ta.b = 1;   \n\n}\n", "rec {\n\ta.b = 1;\n\tpi = {\n\t  x = 1;\n\t};\n\n}\n"),
        (
            "{ /* pi = { */ a = \"pi = }\"; inherit (x) y; }",
            "{ /* pi = { */ a = \"pi = }\";\n  pi = {\n    x = 1;\n  };\ninherit (x) y; }",
        ),
    ] {
        assert_eq!(add_to_set(before, "pi", "{\n  x = 1;\n}").as_deref(), Ok(after), "{before}");
    }
}

#[test]
fn a_text_that_is_no_set_is_left_alone() {
    for (text, expected) in [
        ("{ pi = 1; }", Unfit::HasHost),
        ("{ \"pi\" = 1; }", Unfit::HasHost),
        ("{ pi.system = 1; }", Unfit::HasHost),
        ("{ a = 1; ", Unfit::NoNix),
        ("", Unfit::NoNix),
        ("let a = { }; in a // { }", Unfit::OtherShape),
        ("{ lib }: { }", Unfit::OtherShape),
        ("import ./hosts.nix", Unfit::OtherShape),
        ("[ ]", Unfit::OtherShape),
    ] {
        assert_eq!(add_to_set(text, "pi", "{ }"), Err(expected), "{text}");
    }
}

#[test]
fn nesting_without_end_ends_no_thread() {
    for open in ["(", "[", "{a=", "!", "x:", "let a=", "\"${", "if ", "with ", "-", "a.${"] {
        let text = open.repeat(4000 / open.len());
        assert!(add_to_set(&text, "pi", "{ }").is_err(), "{open}");
    }
    assert!(add_to_set(&"(".repeat(MAX_BYTES), "pi", "{ }").is_err());
    assert_eq!(add_to_set(&" ".repeat(MAX_BYTES + 1), "pi", "{ }"), Err(Unfit::TooLarge));
}

#[test]
fn names_are_quoted_where_nix_takes_them_for_something_else() {
    for (name, expected) in
        [("pi", "pi"), ("p-i_1", "p-i_1"), ("3d", "\"3d\""), ("in", "\"in\""), ("or", "\"or\""), ("_a", "_a")]
    {
        assert_eq!(attribute(name), expected);
    }
}
