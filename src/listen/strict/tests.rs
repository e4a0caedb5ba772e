//! The layer by itself: what passes is what came, byte for byte, in whatever pieces it came.

use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::*;

/// What passes of `bytes` that arrive in pieces of `size`, whether the stream ends well, and what the watch knows.
fn passing(bytes: &[u8], size: usize) -> (Vec<u8>, bool, Option<(u32, Refusal)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut theirs, ours) = tokio::io::duplex(size);
        let bytes = bytes.to_vec();
        let sending = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut theirs, &bytes).await;
        });
        let watch = Arc::new(Watch::default());
        let mut strict = Strict::new(ours, Arc::clone(&watch), Duration::from_secs(60));
        let mut passed = Vec::new();
        let mut ended = true;
        // A refused stream neither ends nor brings more.
        let refused =
            std::future::poll_fn(
                |_| if watch.refused.get().is_some() { Poll::Ready(()) } else { Poll::Pending },
            );
        tokio::select! {
            biased;
            read = strict.read_to_end(&mut passed) => ended = read.is_ok(),
            () = refused => {}
        }
        drop(strict);
        let _ = sending.await;
        (passed, ended, watch.refused.get().copied())
    })
}

#[test]
fn a_refused_head_is_replaced_and_nothing_after_it_passes() {
    let first = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    for before in [first, chunked] {
        let bytes = format!("{before}GET /b HTTP/1.1\nHost: a\n\nGET /c HTTP/1.1\r\n\r\n");
        for size in [1, 5, 4096] {
            let (passed, ended, refused) = passing(bytes.as_bytes(), size);
            let expected = [before.as_bytes(), HARMLESS].concat();
            assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(&expected), "{size}");
            assert!(ended);
            assert_eq!(refused, Some((1, Refusal::Framing("a line feed alone"))), "{size}");
        }
    }
}

#[test]
fn a_chunked_body_that_goes_wrong_breaks_off() {
    let bytes = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n";
    let (passed, ended, refused) = passing(bytes.as_bytes(), 4096);
    assert!(!ended && refused.is_none() && !String::from_utf8_lossy(&passed).contains("hello"));
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..60);
    (body, any::<bool>(), 1..20_usize).prop_map(|(body, chunked, size)| {
        let head = |framing: &str| format!("POST /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").into_bytes();
        if !chunked {
            return [head(&format!("Content-Length: {}", body.len())), body].concat();
        }
        let mut whole = head("Transfer-Encoding: chunked");
        for piece in body.chunks(size) {
            whole.extend(format!("{:x};x\r\n", piece.len()).into_bytes());
            whole.extend(piece);
            whole.extend(b"\r\n");
        }
        whole.extend(b"0\r\n\r\n");
        whole
    })
}

proptest! {
    #[test]
    fn what_is_well_formed_passes_unchanged(
        requests in proptest::collection::vec(request(), 1..5),
        size in 1..200_usize,
    ) {
        let bytes = requests.concat();
        prop_assert_eq!(passing(&bytes, size), (bytes, true, None));
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1..64_usize) {
        passing(&bytes, size);
    }
}
