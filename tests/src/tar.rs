//! A tar with one file in it.

use crate::content::Content;

/// POSIX.1-1988 (ustar): the header, the file filled up to whole blocks, and two empty blocks.
pub(crate) fn tar(name: &str, file: &Content) -> Vec<u8> {
    let mut header = vec![0_u8; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name.replace('/', "-"));
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", file.len()));
    put(136, "12537000000\0");
    // The sum is made with spaces in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header;
    tar.extend(file.bytes());
    tar.resize(tar.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    tar
}

const BLOCK: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn tar_reads_it() {
        let file = Content::seeded(1, 700);
        let mut child = Command::new("tar")
            .args(["-x", "-O", "-f", "-", "a-b"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&tar("a/b", &file)).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.success(), output.stdout),
            (true, file.bytes())
        );
    }
}
