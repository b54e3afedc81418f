//! Sections 4.5, 4.6, 5 and 6: records, mechanisms and modifiers.

use super::{ask, expect, zones};
use SpfResult::{Fail, Neutral, None as NoResult, Pass, PermError, SoftFail, TempError};
use signals::spf::SpfResult;

#[tokio::test]
async fn sections_4_5_and_4_6_selection_and_syntax() {
    expect(&[
        ("v=spf1", "192.0.2.1", Neutral),
        ("V=SPF1 -ALL", "192.0.2.1", Fail),
        ("v=spf10 -all", "192.0.2.1", NoResult),
        ("v=spf1\t-all", "192.0.2.1", NoResult),
        ("v=spf1   ip4:192.0.2.1    -all  ", "192.0.2.1", Pass),
        ("v=spf1 -all\tip4:192.0.2.1", "192.0.2.1", PermError),
        ("v=spf1 all nonsense", "192.0.2.1", PermError),
        ("v=spf1 +all é", "192.0.2.1", PermError),
        ("v=spf1 ++all", "192.0.2.1", PermError),
        ("v=spf1 -", "192.0.2.1", PermError),
        ("v=spf1 x-future_1.b=%{r}%%-/: -all", "192.0.2.1", Fail),
        ("v=spf1 x=%{z} -all", "192.0.2.1", PermError),
        ("v=spf1 -x=y -all", "192.0.2.1", PermError),
        ("v=spf1 a=b include=c -all", "192.0.2.1", Fail),
    ])
    .await;
}

#[tokio::test]
async fn section_5_1_all() {
    expect(&[
        ("v=spf1 all", "192.0.2.1", Pass),
        ("v=spf1 ~all -all", "2001:db8::1", SoftFail),
        ("v=spf1 -all redirect=passes.test", "192.0.2.1", Fail),
        ("v=spf1 all:", "192.0.2.1", PermError),
        ("v=spf1 all/0", "192.0.2.1", PermError),
    ])
    .await;
}

#[tokio::test]
async fn section_5_2_include() {
    expect(&[
        ("v=spf1 include:passes.test ~all", "192.0.2.1", Pass),
        ("v=spf1 -include:passes.test ~all", "192.0.2.1", Fail),
        ("v=spf1 include:passes.test ~all", "192.0.2.2", SoftFail),
        ("v=spf1 include:soft.test -all", "192.0.2.1", Fail),
        ("v=spf1 include:neutral.test include:silent.test -all", "192.0.2.1", Fail),
        ("v=spf1 include:elsewhere.test -all", "192.0.2.1", Pass),
        ("v=spf1 include:plain.test all", "192.0.2.1", PermError),
        ("v=spf1 include:gone.test all", "192.0.2.1", PermError),
        ("v=spf1 include:broken.test all", "192.0.2.1", PermError),
        ("v=spf1 include:twice.test all", "192.0.2.1", PermError),
        ("v=spf1 include:slow.test all", "192.0.2.1", TempError),
        ("v=spf1 include:loop.test all", "192.0.2.1", PermError),
        ("v=spf1 include:own.test -all", "192.0.2.77", Pass),
        ("v=spf1 include", "192.0.2.1", PermError),
        ("v=spf1 include:passes.test/32", "192.0.2.1", PermError),
        ("v=spf1 include:passes..test all", "192.0.2.1", PermError),
    ])
    .await;
}

#[tokio::test]
async fn section_5_3_a() {
    expect(&[
        ("v=spf1 a:host.test -all", "192.0.2.2", Pass),
        ("v=spf1 a:HOST.test. -all", "192.0.2.2", Pass),
        ("v=spf1 a:alias.test -all", "192.0.2.2", Pass),
        ("v=spf1 a:host.test -all", "192.0.2.3", Fail),
        ("v=spf1 a:host.test/30 -all", "192.0.2.3", Pass),
        ("v=spf1 a:host.test/0 -all", "203.0.113.5", Pass),
        ("v=spf1 a:host.test/0 -all", "2001:db8::9", Fail),
        ("v=spf1 a:dual.test//0 -all", "2a00::1", Pass),
        ("v=spf1 a:dual.test//0 -all", "192.0.2.8", Fail),
        ("v=spf1 a:dual.test/24//64 -all", "192.0.2.200", Pass),
        ("v=spf1 a:dual.test/24//64 -all", "2001:db8::ffff", Pass),
        ("v=spf1 a:dual.test/24/64 -all", "192.0.2.9", PermError),
        ("v=spf1 a:dual.test//129 -all", "192.0.2.9", PermError),
        ("v=spf1 a:dual.test/33 -all", "192.0.2.9", PermError),
        ("v=spf1 a:dual.test/024 -all", "192.0.2.9", PermError),
        ("v=spf1 a/ -all", "192.0.2.9", PermError),
        ("v=spf1 a:slash/24.test -all", "192.0.2.1", Pass),
        ("v=spf1 a:failing.test -all", "192.0.2.1", TempError),
        ("v=spf1 a:waiting.test -all", "192.0.2.1", TempError),
        ("v=spf1 a:localhost -all", "127.0.0.1", PermError),
        ("v=spf1 a:192.0.2.1 -all", "192.0.2.1", PermError),
        ("v=spf1 a:host..test -all", "192.0.2.1", Fail),
    ])
    .await;
}

#[tokio::test]
async fn section_5_4_mx() {
    expect(&[
        ("v=spf1 mx:mail.test -all", "192.0.2.2", Pass),
        ("v=spf1 mx:mail.test -all", "2001:db8::6", Pass),
        ("v=spf1 mx:mail.test/24//32 -all", "2001:db8:ffff::6", Pass),
        ("v=spf1 mx:host.test -all", "192.0.2.1", Fail),
        ("v=spf1 mx:nullmx.test -all", "192.0.2.1", Fail),
        ("v=spf1 mx:deaf.test -all", "192.0.2.1", Fail),
        ("v=spf1 mx:slow.test -all", "192.0.2.1", TempError),
        ("v=spf1 mx -all", "192.0.2.1", Fail),
        ("v=spf1 mx: -all", "192.0.2.1", PermError),
    ])
    .await;
}

/// RFC 7505: the root stands for no host, so that there is nobody to ask for.
#[tokio::test]
async fn a_null_mx_is_not_looked_up() {
    let zones = zones(&[("b.test", "TXT", "v=spf1 mx:nullmx.test ?all")]);
    assert_eq!(ask(&zones, "192.0.2.1", "a@b.test").await.result, Neutral);
    assert_eq!(zones.asked(), 2);
}

#[tokio::test]
async fn section_5_5_ptr() {
    expect(&[
        ("v=spf1 ptr:host-names.test -all", "192.0.2.1", Pass),
        ("v=spf1 ptr:mx1.host-names.test -all", "192.0.2.1", Pass),
        ("v=spf1 ptr:names.test -all", "192.0.2.1", Fail),
        ("v=spf1 ptr:other.test -all", "192.0.2.1", Fail),
        ("v=spf1 ptr:six.test -all", "2001:db8::6", Pass),
        // A name that cannot be confirmed is skipped, and a reverse zone that does not answer matches nothing.
        ("v=spf1 ptr:host-names.test -all", "192.0.2.7", Pass),
        ("v=spf1 ptr:host-names.test -all", "192.0.2.8", Fail),
        ("v=spf1 ptr:failing.test -all", "192.0.2.7", Fail),
        ("v=spf1 ptr -all", "192.0.2.1", Fail),
        ("v=spf1 ptr/24 -all", "192.0.2.1", PermError),
    ])
    .await;
    let zones = zones(&[("host-names.test", "TXT", "v=spf1 ptr -all")]);
    let outcome = ask(&zones, "192.0.2.1", "a@host-names.test").await;
    assert_eq!(outcome.result, Pass, "a bare ptr means the domain itself");
}

#[tokio::test]
async fn section_5_6_networks() {
    expect(&[
        ("v=spf1 ip4:192.0.2.0/25 -all", "192.0.2.127", Pass),
        ("v=spf1 ip4:192.0.2.0/25 -all", "192.0.2.128", Fail),
        ("v=spf1 ip4:203.0.113.7/0 -all", "8.8.8.8", Pass),
        ("v=spf1 ip4:0.0.0.0/0 -all", "2001:db8::1", Fail),
        ("v=spf1 ip4:192.0.2.1 -all", "::ffff:192.0.2.1", Pass),
        ("v=spf1 ip6:::ffff:0:0/96 -all", "::ffff:192.0.2.1", Fail),
        ("v=spf1 ip6:::ffff:192.0.2.1 -all", "192.0.2.1", Fail),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8:5::1", Pass),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db9::1", Fail),
        ("v=spf1 ip6:::/0 -all", "fe80::1", Pass),
        ("v=spf1 ip6:::/0 -all", "192.0.2.1", Fail),
        ("v=spf1 ip4:192.0.2.1/33 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2.1/032 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2.1/00 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2.1/ -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2.1/+8 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2.256 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2.01 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:192.0.2 -all", "192.0.2.1", PermError),
        ("v=spf1 ip4:2001:db8::1 -all", "192.0.2.1", PermError),
        ("v=spf1 ip6:192.0.2.1 -all", "192.0.2.1", PermError),
        ("v=spf1 ip6:2001:db8::1/129 -all", "192.0.2.1", PermError),
        ("v=spf1 ip6:fe80::1%eth0 -all", "fe80::1", PermError),
        ("v=spf1 ip4 -all", "192.0.2.1", PermError),
        ("v=spf1 ip6/0 -all", "192.0.2.1", PermError),
    ])
    .await;
}

#[tokio::test]
async fn section_5_7_exists() {
    expect(&[
        ("v=spf1 exists:host.test -all", "203.0.113.1", Pass),
        ("v=spf1 exists:host.test -all", "2001:db8::1", Pass),
        ("v=spf1 exists:six.test -all", "2001:db8::6", Fail),
        ("v=spf1 exists:gone.test -all", "192.0.2.1", Fail),
        ("v=spf1 exists:failing.test -all", "192.0.2.1", TempError),
        ("v=spf1 exists:host.test/24 -all", "192.0.2.1", PermError),
        ("v=spf1 exists -all", "192.0.2.1", PermError),
    ])
    .await;
}

#[tokio::test]
async fn section_6_modifiers() {
    expect(&[
        ("v=spf1 redirect=passes.test", "192.0.2.1", Pass),
        ("v=spf1 redirect=passes.test", "192.0.2.2", Fail),
        ("v=spf1 redirect=passes.test ip4:192.0.2.2", "192.0.2.2", Pass),
        ("v=spf1 redirect=own.test", "192.0.2.77", Pass),
        ("v=spf1 redirect=silent.test", "192.0.2.1", Neutral),
        ("v=spf1 redirect=gone.test", "192.0.2.1", PermError),
        ("v=spf1 redirect=plain.test", "192.0.2.1", PermError),
        ("v=spf1 redirect=broken.test", "192.0.2.1", PermError),
        ("v=spf1 redirect=slow.test", "192.0.2.1", TempError),
        ("v=spf1 redirect=circle.test", "192.0.2.1", PermError),
        ("v=spf1 redirect=passes.test redirect=passes.test", "192.0.2.1", PermError),
        ("v=spf1 -all redirect=", "192.0.2.1", PermError),
        ("v=spf1 exp=passes.test -all", "192.0.2.1", Fail),
        ("v=spf1 exp=gone.test exp=gone.test -all", "192.0.2.1", PermError),
        ("v=spf1 exp=%{c}.test -all", "192.0.2.1", PermError),
        ("v=spf1 redirect:passes.test", "192.0.2.1", PermError),
    ])
    .await;
}
