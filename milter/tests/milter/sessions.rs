//! Whole sessions, as mail servers send them: what the engine is asked and told, and what it answers.

use crate::support::fixture::play;

#[tokio::test]
async fn postfix_3_7_11() {
    play("postfix-3.7.11").await;
}

#[tokio::test]
async fn postfix_3_11_6() {
    play("postfix-3.11.6").await;
}

#[tokio::test]
async fn sendmail_8_17_1() {
    play("sendmail-8.17.1").await;
}

#[tokio::test]
async fn protocol_2() {
    play("protocol-2").await;
}

#[tokio::test]
async fn refused_by_us() {
    play("refused-by-us").await;
}

#[tokio::test]
async fn tls_and_login() {
    play("tls-and-login").await;
}

#[tokio::test]
async fn no_address() {
    play("no-address").await;
}

#[tokio::test]
async fn storms() {
    play("storms").await;
}

#[tokio::test]
async fn verdicts_by_default() {
    play("verdicts-by-default").await;
}

#[tokio::test]
async fn verdicts_unproven() {
    play("verdicts-unproven").await;
}

#[tokio::test]
async fn verdicts_proven() {
    play("verdicts-proven").await;
}
