use super::*;

fn build(name: &str, system: &str, place: Place, seconds: Option<f64>) -> PlannedBuild {
    let path = format!("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}.drv");
    PlannedBuild {
        derivation: StorePath::containing(&path).unwrap(),
        name: name.to_owned(),
        system: Some(system.to_owned()),
        place,
        is_heavy: heavy::is_heavy(name),
        seconds,
    }
}

fn plan(derivations: Vec<PlannedBuild>) -> BuildPlan {
    BuildPlan {
        seconds: estimate(&derivations, 2),
        derivations,
        fetched_paths: 0,
        download_bytes: 0,
        unpacked_bytes: 0,
        unavailable: Vec::new(),
        dead_builders: Vec::new(),
        builder_options: Vec::new(),
        free_bytes: Some(5 << 30),
    }
}

#[test]
fn the_plan_names_what_is_built_fetched_and_how_long_it_takes() {
    let derivations = vec![
        build("linux-6.12.3", "aarch64-linux", Place::Emulated, None),
        build("etc", "aarch64-linux", Place::Emulated, Some(30.0)),
        build("image", "x86_64-linux", Place::Native, Some(90.0)),
    ];
    let plan =
        BuildPlan { fetched_paths: 1, download_bytes: 1 << 20, unpacked_bytes: 4 << 20, ..plan(derivations) };
    assert_eq!(
        plan.to_string(),
        "build   3 derivations: 2 for aarch64-linux by emulation, 1 for x86_64-linux\n\
         heavy   linux-6.12.3\n\
         time    about 90 s, without 1 of 3 that were not built here before\n\
         fetch   1 path: 1.0 MiB to download, 4.0 MiB in the store\n\
         store   5.0 GiB free"
    );
    assert_eq!(plan.summary(), "3 derivations, 2 by emulation, about 90 s; 1.0 MiB to download");
    assert_eq!(plan.slow_builds().map(|build| build.name.as_str()).collect::<Vec<_>>(), ["linux-6.12.3"]);
}

#[test]
fn nothing_to_do_is_said_in_one_line() {
    assert_eq!(plan(Vec::new()).to_string(), "build   nothing: all of it is in the store");
    assert!(plan(Vec::new()).is_empty());
}

#[test]
fn a_kernel_is_slow_by_emulation_alone() {
    for (place, expected) in [(Place::Emulated, 1), (Place::Native, 0), (Place::Remote, 0)] {
        let plan = plan(vec![build("linux-6.12.3", "aarch64-linux", place, None)]);
        assert_eq!(plan.slow_builds().count(), expected, "{place:?}");
    }
}

#[test]
fn builds_side_by_side_take_as_long_as_the_longest_at_least() {
    let builds = |seconds: &[f64]| {
        seconds
            .iter()
            .map(|seconds| build("a-1", "x86_64-linux", Place::Native, Some(*seconds)))
            .collect::<Vec<_>>()
    };
    for (seconds, expected) in
        [(&[][..], None), (&[10.0, 2.0], Some(10.0)), (&[10.0, 10.0, 10.0], Some(15.0))]
    {
        assert_eq!(estimate(&builds(seconds), 2), expected, "{seconds:?}");
    }
}

#[test]
fn a_store_without_room_is_found() {
    let plan = |unpacked_bytes| BuildPlan { unpacked_bytes, free_bytes: Some(10), ..plan(Vec::new()) };
    assert!(plan(11).lacks_room() && !plan(10).lacks_room());
}

#[test]
fn builds_of_the_same_name_are_listed_once() {
    let names = |names: &[&str]| {
        let builds = names.iter().map(|name| build(name, "aarch64-linux", Place::Emulated, None));
        text::named(builds.collect::<Vec<_>>().iter())
    };
    assert_eq!(names(&["a", "b", "a", "c", "a"]).unwrap(), "a, b, c");
    assert_eq!(names(&["a", "b", "c", "c", "d", "e", "f", "f", "g"]).unwrap(), "a, b, c, d, e, 2 more");
    assert_eq!(names(&[]), None);
}
