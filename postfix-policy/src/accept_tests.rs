use super::*;
use policy_core::answer::{Answer, DecisionId, Reply};
use policy_core::engine::Report;
use policy_core::facts::Facts;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

#[derive(Clone)]
struct AcceptAll;

impl Engine for AcceptAll {
    async fn decide(&self, _: Facts) -> Answer {
        Answer { id: DecisionId::new(1), reply: Reply::Accept, mark: None }
    }

    fn report(&self, _: Report) {}
}

/// Yields what it was given, the last first, and then nothing.
struct Script(Mutex<Vec<io::Result<DuplexStream>>>);

impl Listener for Script {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<(DuplexStream, Peer)> {
        let next = self.0.lock().unwrap().pop();
        match next {
            Some(next) => next.map(|stream| (stream, Peer::Unix { pid: None, uid: None })),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn errors_of_accept_are_outlived() {
    const EMFILE: i32 = 24;
    let (mut client, server) = duplex(1024);
    let script = Script(Mutex::new(vec![
        Ok(server),
        Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        Err(io::Error::from_raw_os_error(EMFILE)),
        Err(io::Error::from_raw_os_error(EMFILE)),
    ]));
    let (_close, closing) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(1));
    let ask = async {
        client.write_all(b"request=smtpd_access_policy\n\n").await.unwrap();
        let mut answer = [0; 14];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"action=DUNNO\n\n");
    };
    let begun = Instant::now();
    tokio::select! {
        () = accept_all(&script, AcceptAll, Limits::default(), &permits, closing) => unreachable!(),
        answered = timeout(Duration::from_secs(10), ask) => answered.unwrap(),
    }
    // A pause for each time without descriptors, the second twice as long; none for the lost connection.
    assert!(begun.elapsed() >= 3 * SHORTEST_PAUSE);
}

#[tokio::test]
async fn one_too_many_is_closed_and_counted() {
    #[derive(Clone, Default)]
    struct Counting(Arc<policy_core::connections::Connections>);

    impl Engine for Counting {
        async fn decide(&self, facts: Facts) -> Answer {
            AcceptAll.decide(facts).await
        }

        fn report(&self, _: Report) {}

        fn connections(&self, _: FrontEnd) -> Arc<policy_core::connections::Connections> {
            Arc::clone(&self.0)
        }
    }

    let (streams, mut clients): (Vec<_>, Vec<_>) =
        (0..3).map(|_| duplex(64)).map(|(server, client)| (Ok(server), client)).unzip();
    let script = Script(Mutex::new(streams));
    let (_close, closing) = watch::channel(false);
    let (engine, permits) = (Counting::default(), Arc::new(Semaphore::new(1)));
    let counted = Arc::clone(&engine.0);
    let closed = async {
        // The last comes first and stays, the others find no room.
        for client in &mut clients[..2] {
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
        assert_eq!((counted.open(), counted.refused()), (1, 2));
    };
    tokio::select! {
        () = accept_all(&script, engine, Limits::default(), &permits, closing) => unreachable!(),
        closed = timeout(Duration::from_secs(10), closed) => closed.unwrap(),
    }
}
