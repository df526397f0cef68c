//! `DATAGRAMS_PER_TURN` of a flow, at its edge.

use super::*;

#[tokio::test(flavor = "current_thread")]
async fn a_flow_that_is_flooded_lets_others_have_their_turn() {
    let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = service.local_addr().unwrap().port();
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    client.send(client.world.at(2, port), b"begin");
    let (_, flow) = timeout(PATIENCE, service.recv_from(&mut [0; 9]))
        .await
        .expect("nothing came")
        .unwrap();
    // As one goes on, so does the other: this task is the neighbour, and counts what came back between two turns of it.
    let service = service.into_std().unwrap();
    for _ in 0..190 {
        service.send_to(b"x", flow).unwrap();
    }
    let until = std::time::Instant::now() + PATIENCE;
    let (mut all, mut most) = (0, 0);
    while all < 190 {
        assert!(std::time::Instant::now() < until, "{all} came back");
        tokio::task::yield_now().await;
        let mut came = 0;
        while client.socket.try_recv(&mut [0; 9]).is_ok() {
            came += 1;
        }
        all += came;
        most = most.max(came);
    }
    assert!(most <= 64, "{most} datagrams in one turn");
}
