//! The small `/etc` of a compartment: names that are its own, and what programs need of the host's.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::address::RESOLVER_V4;

/// Shown read-only where the host has them: loader, certificates, alternatives, tables of names, time zone.
pub(super) const FROM_HOST: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "fonts",
    "gai.conf",
    "inputrc",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki/ca-trust",
    "pki/tls",
    "profile",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];

/// Where Debian keeps the settings of each Java, under a name with its version: no Java runs without. By their names in
/// `etc`.
pub(super) fn settings_of_java(etc: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(etc)? {
        let name = entry?.file_name();
        let version = name
            .to_str()
            .and_then(|name| name.strip_prefix("java-")?.strip_suffix("-openjdk"));
        if version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit())) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Who the workload is, to itself.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Its name: the host name.
    pub(crate) name: String,
    /// `NAME.ZONE`.
    pub(crate) fqdn: String,
    /// User inside.
    pub(crate) uid: u32,
    /// Group inside.
    pub(crate) gid: u32,
}

/// Login name of the user inside.
pub(crate) const USER: &str = "agent";

/// Writes the files that are the compartment's own into `etc`.
pub(super) fn write(etc: &Path, identity: &Identity) -> io::Result<()> {
    let Identity {
        name,
        fqdn,
        uid,
        gid,
    } = identity;
    let resolver = IpAddr::from(RESOLVER_V4);
    // Asked to look like root, it is the only one of that number.
    let root = if *uid == 0 {
        ""
    } else {
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
    };
    let root_group = if *gid == 0 { "" } else { "root:x:0:\n" };
    let nobody = if *uid == 65534 {
        ""
    } else {
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    };
    let nogroup = if *gid == 65534 {
        ""
    } else {
        "nogroup:x:65534:\n"
    };
    for (file, content) in [
        (
            "passwd",
            format!(
                "{root}{USER}:x:{uid}:{gid}:{name}:/work:/bin/sh\n{nobody}"
            ),
        ),
        ("group", format!("{root_group}{USER}:x:{gid}:\n{nogroup}")),
        (
            "hosts",
            format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {fqdn} {name}\n"),
        ),
        ("hostname", format!("{name}\n")),
        (
            "resolv.conf",
            format!("# answered at the door of this compartment\nnameserver {resolver}\noptions timeout:2 attempts:2\n"),
        ),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\n\
             services: files\nethers: files\nrpc: files\n"
                .to_owned(),
        ),
        ("shells", "/bin/sh\n/bin/bash\n".to_owned()),
    ] {
        std::fs::write(etc.join(file), content)?;
    }
    // Programs ask here what is mounted.
    std::os::unix::fs::symlink("../proc/self/mounts", etc.join("mtab"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_every_java_are_found_and_nothing_beside() {
        let etc = tempfile::tempdir().unwrap();
        for name in [
            "java-17-openjdk",
            "java-8-openjdk",
            "java-17-openjdk.old",
            "java-keys-openjdk",
            "java",
            "passwd",
        ] {
            std::fs::create_dir(etc.path().join(name)).unwrap();
        }
        let mut names = settings_of_java(etc.path()).unwrap();
        names.sort();
        assert_eq!(names, ["java-17-openjdk", "java-8-openjdk"]);
    }
}
