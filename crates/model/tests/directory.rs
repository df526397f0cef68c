//! The loader on a real file system, with everything in the way that can be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ringfence_model::load::{self, directory};
use ringfence_model::resource::TrustAnchors;

fn agent(name: &str) -> String {
    format!("apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {{name: {name}}}\n")
}

fn names(directory: &Path) -> Vec<String> {
    let loaded = load::directory(directory).unwrap_or_else(|errors| panic!("{errors}"));
    loaded
        .estate
        .agents
        .iter()
        .map(|agent| agent.name.to_string())
        .collect()
}

fn error(dir: &Path) -> String {
    directory(dir).expect_err("loads").to_string()
}

#[test]
fn reads_what_it_should_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("sub/deeper")).unwrap();
    fs::create_dir_all(at(".git")).unwrap();
    for (file, name) in [
        ("a.yaml", "a"),
        ("b.yml", "b"),
        ("c.YAML", "c"),
        ("sub/d.yaml", "d"),
        ("sub/deeper/e.yaml", "e"),
        (".hidden.yaml", "x1"),
        (".#f.yaml", "x2"),
        ("g.yaml~", "x3"),
        (".h.yaml.swp", "x4"),
        ("i.yaml.bak", "x5"),
        ("#j.yaml#", "x6"),
        (".git/k.yaml", "x7"),
        ("yaml", "x8"),
        ("README.md", "x9"),
    ] {
        fs::write(at(file), agent(name)).unwrap();
    }
    fs::write(at("real"), agent("linked")).unwrap();
    symlink("real", at("link.yaml")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    assert_eq!(names(dir.path()), ["a", "b", "c", "d", "e", "linked"]);
    let loaded = directory(dir.path()).unwrap();
    assert_eq!(&*loaded.estate.agents[4].at.file, "sub/deeper/e.yaml");
}

#[test]
fn pem_files_are_found_from_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let text = "apiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {name: s}\nspec: {protocol: tcp, port: 1, endpoints: [{address: 'x:1', tls: {ca: pem/ca.pem, clientCert: {cert: /abs.pem, key: k}}}]}\n";
    fs::write(dir.path().join("s.yaml"), text).unwrap();
    let loaded = directory(dir.path()).unwrap();
    let tls = loaded.estate.services[0].endpoints[0].tls.clone().unwrap();
    assert_eq!(tls.ca, TrustAnchors::File(dir.path().join("pem/ca.pem")));
    let cert = tls.client_cert.unwrap();
    assert_eq!(
        (cert.cert.as_path(), cert.key),
        (Path::new("/abs.pem"), dir.path().join("k"))
    );
}

#[test]
fn what_is_no_file_is_an_error_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let before = Instant::now();
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo.yaml"))
            .status()
            .unwrap()
            .success()
    );
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let _listener = UnixListener::bind(at("socket.yaml")).unwrap();
    symlink("/dev/zero", at("device.yaml")).unwrap();
    symlink("loop.yaml", at("loop.yaml")).unwrap();
    symlink("gone", at("gone.yaml")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    symlink("..", at("sub/up")).unwrap();
    let told = error(dir.path());
    for wanted in [
        "fifo.yaml:1:1: a FIFO is not a resource file",
        "socket.yaml:1:1: a socket is not a resource file",
        "device.yaml:1:1: a device is not a resource file",
        "loop.yaml:1:1: the file is a loop of symbolic links",
        "gone.yaml:1:1: the file does not exist",
        "sub/up:1:1: the directory leads back to one that holds it",
    ] {
        assert!(told.contains(wanted), "{wanted} not in\n{told}");
    }
    assert_eq!(told.matches(":1:1: ").count(), 6, "{told}");
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_may_not_be_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("a.yaml"), agent("a")).unwrap();
    fs::create_dir(at("shut")).unwrap();
    for name in ["a.yaml", "shut"] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    // Root reads everything: nothing to see then.
    if fs::File::open(at("a.yaml")).is_err() {
        let told = error(dir.path());
        assert!(
            told.contains("a.yaml:1:1: the file may not be read by this user"),
            "{told}"
        );
        assert!(
            told.contains("shut:1:1: the directory may not be read by this user"),
            "{told}"
        );
    }
    fs::set_permissions(at("shut"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_directory_that_is_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(error(&dir.path().join("gone")).contains("does not exist"));
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(error(&file).contains("is not a directory"));
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn large_files_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let large = fs::File::create(dir.path().join("large.yaml")).unwrap();
    large.set_len(100 * 1024 * 1024).unwrap();
    let before = Instant::now();
    let told = error(dir.path());
    assert!(
        told.contains("large.yaml:1:1: the file is larger than 1048576 bytes"),
        "{told}"
    );
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[test]
fn too_much_in_all_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let comment = format!("#{}\n", "x".repeat(1024 * 1024 - 2));
    for index in 0..65 {
        fs::write(dir.path().join(format!("{index}.yaml")), &comment).unwrap();
    }
    assert!(error(dir.path()).contains("the configuration is larger than 67108864 bytes"));
}

#[test]
fn too_many_files_and_directories_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..=load::FILES_MAX {
        fs::write(dir.path().join(format!("{index}.yaml")), "# x").unwrap();
    }
    let told = error(dir.path());
    assert!(
        told.contains("more than 10000 files and directories"),
        "{told}"
    );

    let dir = tempfile::tempdir().unwrap();
    let deep: String = "d/".repeat(load::DIRECTORY_DEPTH_MAX + 1);
    fs::create_dir_all(dir.path().join(deep)).unwrap();
    assert!(error(dir.path()).contains("nested more than 32 deep"));
}

#[test]
fn the_digest_tells_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    let mut seen = Vec::new();
    let mut step = || seen.push(load::read(dir.path()).digest().to_string());
    step();
    fs::write(&file, agent("a")).unwrap();
    step();
    fs::write(&file, agent("b")).unwrap();
    step();
    fs::rename(&file, dir.path().join("b.yaml")).unwrap();
    step();
    fs::write(&file, b"\xFF").unwrap();
    step();
    fs::write(&file, "").unwrap();
    step();
    let unchanged = load::read(dir.path()).digest().to_string();
    assert_eq!(seen.last(), Some(&unchanged));
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all);
}
