//! The routes of the benchmark that need no database, with Rocket and the client of hyper.

use std::io::Cursor;
use std::{env, fs};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Uri;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder, Response, content::RawJson};
use rocket::shield::Shield;
use rocket::{Request, State, catch, catchers, get, launch, routes};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Avatar {
    created_at: String,
    name: String,
    avatar: String,
    id: String,
}

/// The document of the avatars: all of it but the time in the first one.
struct Avatars {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Avatars {
    fn load(file: &str) -> Self {
        let text = fs::read(file).expect("AVATAR cannot be read");
        let mut avatars: Vec<Avatar> = serde_json::from_slice(&text).expect("AVATAR is no list of avatars");
        let mark = "{now}";
        avatars.first_mut().expect("AVATAR is empty").created_at = mark.into();
        let document = serde_json::to_string(&avatars).expect("strings can be serialized");
        let (head, tail) = document.split_once(mark).expect("the mark was put there");
        Self {
            head: head.into(),
            tail: tail.into(),
        }
    }

    fn now(&self) -> Vec<u8> {
        let now = format!("{:.3}", Timestamp::now());
        [&self.head, now.as_bytes(), &self.tail].concat()
    }
}

/// The service that is asked, and the connections to it.
struct Upstream {
    client: Client<HttpConnector, Empty<Bytes>>,
    url: Uri,
}

/// What that service said.
struct Relayed {
    status: Status,
    body: Bytes,
}

impl<'r> Responder<'r, 'static> for Relayed {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build()
            .status(self.status)
            .header(ContentType::JSON)
            .header(Header::new("Engine", "rocket"))
            .header(Header::new("Location", "/v1/user"))
            .sized_body(self.body.len(), Cursor::new(self.body))
            .ok()
    }
}

#[get("/v1/avatar")]
fn avatar(avatars: &State<Avatars>) -> RawJson<Vec<u8>> {
    RawJson(avatars.now())
}

#[get("/v1/user")]
async fn user(upstream: &State<Upstream>) -> Result<Relayed, Status> {
    let response = upstream
        .client
        .get(upstream.url.clone())
        .await
        .map_err(|_| Status::BadGateway)?;
    let status = Status::new(response.status().as_u16());
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|_| Status::BadGateway)?
        .to_bytes();
    Ok(Relayed { status, body })
}

#[catch(default)]
fn refusal(status: Status, _: &Request) -> RawJson<String> {
    RawJson(format!(r#"{{"status":{}}}"#, status.code))
}

#[launch]
fn rocket() -> _ {
    let upstream = env::var("UPSTREAM").expect("UPSTREAM is missing");
    let url = format!("http://{upstream}/v1/avatar")
        .parse()
        .expect("UPSTREAM is no HOST:PORT");
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    rocket::build()
        .attach(Shield::new())
        .manage(Avatars::load(&env::var("AVATAR").expect("AVATAR is missing")))
        .manage(Upstream { client, url })
        .mount("/", routes![avatar, user])
        .register("/", catchers![refusal])
}
