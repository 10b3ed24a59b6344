//! A binary cache by http: a folder, whose files are read and written. A test decides how it answers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a request is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Serve,
    NotFound,
    /// The connection stays open, and nothing comes.
    Hang,
}

/// A server in a thread, which lives as long as the test.
pub struct CacheServer {
    pub port: u16,
    folder: PathBuf,
    /// The requests so far, such as `GET /nix-cache-info`.
    requests: Arc<Mutex<Vec<String>>>,
    /// The bytes of all files that were sent.
    sent: Arc<AtomicU64>,
}

impl CacheServer {
    /// Serves the folder `folder` on all addresses of this machine; `answer` gets each request.
    pub fn start(folder: PathBuf, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        fs::create_dir_all(&folder).expect("making the folder of a cache");
        let listener = TcpListener::bind("0.0.0.0:0").expect("listening");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let sent = Arc::<AtomicU64>::default();
        let server = Arc::new((folder.clone(), requests.clone(), sent.clone(), answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || {
                    let (folder, requests, sent, answer) = &*server;
                    // A client may go away at any moment.
                    if let Ok(count) = serve(&stream, folder, requests, answer) {
                        sent.fetch_add(count, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { port, folder, requests, sent }
    }

    /// The URL of the folder, by which this machine pushes.
    pub fn folder_url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// The bytes of all files that were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// How many requests began with `start`.
    pub fn count(&self, start: &str) -> usize {
        self.requests.lock().expect("a lock").iter().filter(|request| request.starts_with(start)).count()
    }
}

/// Reads one request, and answers it. Returns the bytes of the file that was sent.
fn serve(
    mut stream: &TcpStream,
    folder: &Path,
    requests: &Mutex<Vec<String>>,
    answer: &impl Fn(&str) -> Answer,
) -> std::io::Result<u64> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let request = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let length = read_headers(&mut reader)?;
    requests.lock().expect("a lock").push(request.clone());
    let (method, path) = request.split_once(' ').unwrap_or_default();
    let file = folder.join(path.trim_start_matches('/'));
    match answer(&request) {
        Answer::Hang => std::thread::sleep(Duration::from_secs(60)),
        Answer::NotFound => reply(stream, "404 Not Found", b"")?,
        Answer::Serve if method == "PUT" => {
            let mut body = vec![0; length];
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            reader.read_exact(&mut body)?;
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
            fs::write(file, body)?;
            reply(stream, "201 Created", b"")?;
        }
        Answer::Serve => match fs::read(file) {
            Ok(_) if method == "HEAD" => reply(stream, "200 OK", b"")?,
            Ok(body) => {
                reply(stream, "200 OK", &body)?;
                return Ok(body.len() as u64);
            }
            Err(_) => reply(stream, "404 Not Found", b"")?,
        },
    }
    Ok(0)
}

/// Reads the headers of a request, and returns the length of its body.
fn read_headers(reader: &mut impl BufRead) -> std::io::Result<usize> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap_or(0);
            }
            Some(_) => {}
            None => return Ok(length),
        }
    }
}

fn reply(mut stream: &TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
