//! What `attest` asks for and this node cannot prove, in words.

use ringfence_model::resource::Attest;
use ringfence_model::{Estate, Name};

use crate::claim::{Owner, UNPROVEN_FIX};
use crate::vouch::LauncherGroup;

/// One text for each kind of thing that is not proven, naming the resources it is about.
pub(super) fn unproven(estate: &Estate, owner: Owner, group: LauncherGroup) -> Vec<String> {
    let agents = estate.agents.iter().map(|it| (&it.name, &it.attest));
    let services = estate.services.iter().map(|it| (&it.name, &it.attest));
    let attested: Vec<(&Name, &Attest)> = agents
        .chain(services)
        .filter_map(|(name, attest)| Some((name, attest.as_ref()?)))
        .collect();
    let named = |wanted: &dyn Fn(&Attest) -> bool| {
        let names = attested.iter().filter(|(_, attest)| wanted(attest));
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut texts = Vec::new();
    if owner.0 != 0 {
        let names = named(&|attest| attest.pins_program() || attest.unit.is_some());
        texts.extend(names.map(|names| {
            format!(
                "`exe`, `sha256` and `unit` of {names} keep out mistakes, not programs of uid {}, whose node this is",
                owner.0
            )
        }));
        return texts;
    }
    let of_others =
        |attest: &Attest| attest.pins_program() && attest.uid.is_some_and(|uid| uid != 0);
    texts.extend(named(&of_others).map(|names| {
        if group.exists() {
            format!(
                "`exe` and `sha256` of {names} say what another user's launcher started; that user can trace it \
                 afterwards"
            )
        } else {
            format!(
                "nobody can claim {names}: `exe` and `sha256` are not proven by another user's launcher; {UNPROVEN_FIX}"
            )
        }
    }));
    texts
}

#[cfg(test)]
mod tests {
    use ringfence_model::Position;
    use ringfence_model::resource::Agent;

    use super::*;

    fn estate(attest: Attest) -> Estate {
        Estate {
            agents: vec![Agent {
                limits: ringfence_model::Limits::default(),
                name: Name::new("clerk").unwrap(),
                purpose: None,
                owner: None,
                labels: Default::default(),
                serves: None,
                hosts: Vec::new(),
                attest: Some(attest),
                at: Position::default(),
            }],
            ..Estate::default()
        }
    }

    #[test]
    fn says_what_is_not_proven_and_nothing_where_all_is() {
        let said = |attest: &Attest, owner| {
            unproven(
                &estate(attest.clone()),
                Owner(owner),
                LauncherGroup::default(),
            )
            .join("; ")
        };
        let uid = Attest {
            uid: Some(1001),
            ..Attest::default()
        };
        let exe = Attest {
            exe: Some("/opt/x".into()),
            ..uid.clone()
        };
        let unit = Attest {
            unit: Some("a.service".parse().unwrap()),
            ..uid.clone()
        };
        assert_eq!(said(&uid, 0) + &said(&uid, 1001) + &said(&unit, 0), "");
        assert!(said(&exe, 0).contains("nobody can claim clerk"));
        assert!(said(&exe, 1001).contains("not programs of uid 1001"));
        assert!(said(&unit, 1001).contains("keep out mistakes"));
        let of_root = Attest {
            uid: Some(0),
            ..exe
        };
        assert_eq!(said(&of_root, 0), "");
    }
}
