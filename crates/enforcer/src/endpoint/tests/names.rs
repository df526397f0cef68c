//! Real names: those of a hosts file, and those of a name server that is silent.

use std::net::UdpSocket;

use super::*;
use crate::limits::{ADDRESSES_PER_ENDPOINT, LOOKUP_THREADS, LOOKUP_TIMEOUT};
use crate::testing::{alone, until};

/// `many.test` has six addresses, `prompt.test` one; for all others the name server is asked, which is ours.
const NAMES: &str = r#"
    for last in 2 3 4 5 6 7; do echo "127.0.0.$last many.test"; done >$DIR/hosts
    echo "127.0.0.1 prompt.test" >>$DIR/hosts
    echo "hosts: files dns" >$DIR/nsswitch.conf
    printf 'nameserver 127.0.0.1\noptions timeout:3 attempts:2\n' >$DIR/resolv.conf
    for file in hosts nsswitch.conf resolv.conf; do mount --bind $DIR/$file /etc/$file; done"#;

fn named(name: &str, port: u16) -> Target {
    let declared = Endpoint {
        host: EndpointHost::Name(HostName::new(name).unwrap()),
        ..endpoint(port, None)
    };
    Target::new(&declared, Protocol::Tcp, &files(&[])).unwrap()
}

/// `ADDRESSES_PER_ENDPOINT`.
#[tokio::test]
async fn so_many_addresses_of_a_name_are_tried_and_no_further_one() {
    const HERE: &str = concat!(
        module_path!(),
        "::so_many_addresses_of_a_name_are_tried_and_no_further_one"
    );
    if !alone(HERE, NAMES) {
        return;
    }
    let all: Vec<_> = tokio::net::lookup_host("many.test:80")
        .await
        .unwrap()
        .collect();
    assert_eq!(all.len(), 6, "{all:?}");
    let (last, beyond) = (all[ADDRESSES_PER_ENDPOINT - 1], all[ADDRESSES_PER_ENDPOINT]);
    let listener = TcpListener::bind((last.ip(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_, _stream) = dial(&[named("many.test", port)]).await.unwrap();
    assert!(listener.accept().await.is_ok());
    drop(listener);
    let listener = TcpListener::bind((beyond.ip(), port)).await.unwrap();
    let cause = dial(&[named("many.test", port)]).await.err().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    assert!(
        cause.to_string().contains(&last.ip().to_string()),
        "{cause}"
    );
    drop(listener);
}

/// `LOOKUP_THREADS`, which nobody can take from others by connecting often: a name is looked up once at a time.
#[test]
fn a_name_that_many_wait_for_is_looked_up_once_and_holds_up_no_other() {
    const HERE: &str = concat!(
        module_path!(),
        "::a_name_that_many_wait_for_is_looked_up_once_and_holds_up_no_other"
    );
    if !alone(HERE, NAMES) {
        return;
    }
    let server = UdpSocket::bind("127.0.0.1:53").unwrap();
    server.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(LOOKUP_THREADS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let silent = Arc::new(named("silent.test", 80));
        let waiting: Vec<_> = (0..4 * LOOKUP_THREADS)
            .map(|_| {
                let silent = Arc::clone(&silent);
                tokio::spawn(async move { silent.addresses().await })
            })
            .collect();
        let mut asked = 0;
        until("the name server is asked", || {
            asked += usize::from(server.recv(&mut [0; 600]).is_ok());
            asked > 0
        })
        .await;
        // The neighbour, whose name is found at once.
        let began = std::time::Instant::now();
        let found = named("prompt.test", 80).addresses().await.unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 80))]);
        assert!(
            began.elapsed() < LOOKUP_TIMEOUT / 2,
            "{:?}",
            began.elapsed()
        );
        while server.recv(&mut [0; 600]).is_ok() {
            asked += 1;
        }
        // For both families; and once more where all this took longer than the resolver waits.
        assert!(asked <= 4, "{asked} questions");
        assert!(waiting.iter().all(|one| !one.is_finished()));
    });
    // Who has asked gets its answer when there is one, and whoever comes later a new one: names change.
    runtime.block_on(async {
        let answered = named("prompt.test", 1);
        let first = answered.addresses().await.unwrap();
        assert_eq!(answered.addresses().await.unwrap(), first);
    });
    runtime.shutdown_background();
}
