//! A plain HTTP client, which shows what is on the wire.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fairlead_lab::api_server::ApiServer;
use serde_json::Value;

/// What nothing here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Something to write to and read from: a connection, or TLS over one.
pub(crate) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// An answer of which the head has been read.
pub(crate) struct Answer {
    client: Client,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// How much there is still to come; `None`: it comes in chunks.
    left: Option<usize>,
    /// What has come of a line that is not complete.
    line: Vec<u8>,
}

impl Client {
    pub(crate) fn to(server: &ApiServer) -> io::Result<Client> {
        let stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client::over(stream))
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Client {
        Client {
            stream: BufReader::new(Box::new(stream)),
        }
    }

    /// Sends a request and reads the head of the answer. Headers are lines.
    pub(crate) fn ask(
        mut self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> io::Result<Answer> {
        let more: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: lab\r\nUser-Agent: test\r\n{more}Content-Length: \
             {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.stream.get_mut().flush()?;
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            client: self,
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            headers,
            left: None,
            line: Vec::new(),
        };
        answer.left = answer
            .header("content-length")
            .and_then(|length| length.parse().ok());
        Ok(answer)
    }

    pub(crate) fn get(self, path: &str) -> io::Result<Answer> {
        self.ask("GET", path, &[], "")
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The next piece; `None` at the end.
    pub(crate) fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let length = match self.left.replace(0) {
            Some(length) => length,
            None => {
                self.left = None;
                let line = self.client.line()?;
                usize::from_str_radix(&line, 16).map_err(io::Error::other)?
            }
        };
        let mut piece = vec![0; length];
        self.client.stream.read_exact(&mut piece)?;
        if self.left.is_none() {
            self.client.line()?;
        }
        Ok((length > 0).then_some(piece))
    }

    /// All of it.
    pub(crate) fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece()? {
            body.extend(piece);
        }
        Ok(body)
    }

    pub(crate) fn json(&mut self) -> Value {
        let body = self.body().expect("the whole answer");
        serde_json::from_slice(&body).expect("JSON")
    }

    /// The next line of a watch; `None` at its end.
    pub(crate) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let rest = self.line.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.line, rest)));
            }
            match self.piece()? {
                Some(piece) => self.line.extend(piece),
                None => return Ok(None),
            }
        }
    }

    /// What came of a line that is not complete.
    pub(crate) fn fragment(&self) -> &[u8] {
        &self.line
    }

    /// The next event: its type and its object.
    pub(crate) fn event(&mut self) -> (String, Value) {
        let line = self
            .line()
            .expect("a line")
            .expect("an event before the end");
        let mut event: Value = serde_json::from_slice(&line).expect("JSON");
        let kind = event["type"].as_str().expect("a type").to_owned();
        (kind, event["object"].take())
    }

    /// The next event that is no bookmark, as type and name.
    pub(crate) fn change(&mut self) -> (String, String) {
        loop {
            let (kind, object) = self.event();
            if kind != "BOOKMARK" {
                return (kind, name(&object));
            }
        }
    }
}

/// Asks for something on a connection of its own.
pub(crate) fn get(server: &ApiServer, path: &str) -> Answer {
    let client = Client::to(server).expect("a connection");
    client.get(path).expect("an answer")
}

/// Sends something on a connection of its own.
pub(crate) fn send(
    server: &ApiServer,
    method: &str,
    path: &str,
    kind: &str,
    body: &Value,
) -> Answer {
    let client = Client::to(server).expect("a connection");
    let kind = format!("Content-Type: {kind}");
    let answer = client.ask(method, path, &[&kind], &body.to_string());
    answer.expect("an answer")
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The names of the items of a list.
pub(crate) fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(name).collect()
}
