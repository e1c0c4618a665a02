//! The routes of the benchmark with hyper and sqlx: one runtime of several threads, one pool of connections.

use std::{env, error::Error, fs, net::Ipv4Addr};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode, Uri, server::conn::http1, service::service_fn};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, Row};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONTACT: &str = "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1";
const LIST: &str = "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id";
const WRITE: &str = "UPDATE contact SET phone = $2 WHERE id = $1 RETURNING id, firstname, lastname, phone, email";

const ENGINE: HeaderName = HeaderName::from_static("engine");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Our own bodies, or that of the service that was asked, passed on as it comes.
type Body = Either<Full<Bytes>, Incoming>;
type Failure = Box<dyn Error + Send + Sync>;
type Answer = Result<Response<Body>, Failure>;

#[derive(Serialize)]
struct Contact<'row> {
    id: i32,
    firstname: Option<&'row str>,
    lastname: &'row str,
    phone: Option<&'row str>,
    email: Option<&'row str>,
}

impl<'row> TryFrom<&'row PgRow> for Contact<'row> {
    type Error = sqlx::Error;

    fn try_from(row: &'row PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            firstname: row.try_get(1)?,
            lastname: row.try_get(2)?,
            phone: row.try_get(3)?,
            email: row.try_get(4)?,
        })
    }
}

#[derive(Deserialize)]
struct Change<'body> {
    #[serde(borrow)]
    phone: std::borrow::Cow<'body, str>,
}

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
    fn load(file: &str) -> Result<Self, Failure> {
        let mut avatars: Vec<Avatar> = serde_json::from_slice(&fs::read(file)?)?;
        let mark = "{now}";
        avatars.first_mut().ok_or("no avatars")?.created_at = mark.into();
        let document = serde_json::to_string(&avatars)?;
        let (head, tail) = document.split_once(mark).ok_or("no time in the first avatar")?;
        Ok(Self {
            head: head.into(),
            tail: tail.into(),
        })
    }

    fn now(&self) -> Vec<u8> {
        let now = format!("{:.3}", Timestamp::now());
        [&self.head, now.as_bytes(), &self.tail].concat()
    }
}

struct App {
    database: PgPool,
    client: Client<HttpConnector, Empty<Bytes>>,
    upstream: Uri,
    avatars: Avatars,
}

impl App {
    async fn route(&self, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/contacts") => self.list().await,
            (&Method::GET, "/v1/avatar") => Ok(json(StatusCode::OK, self.avatars.now())),
            (&Method::GET, "/v1/user") => self.relay().await,
            (method, path) => {
                let id = path.strip_prefix("/contacts/").and_then(|id| id.parse().ok());
                match (method, id) {
                    (&Method::GET, Some(id)) => self.contact(id).await,
                    (&Method::PUT, Some(id)) => self.write(id, request).await,
                    _ => Ok(refusal(StatusCode::NOT_FOUND)),
                }
            }
        }
    }

    async fn contact(&self, id: i32) -> Answer {
        one(sqlx::query(CONTACT).bind(id).fetch_optional(&self.database).await?)
    }

    async fn write(&self, id: i32, request: Request<Incoming>) -> Answer {
        let body = request.into_body().collect().await?.to_bytes();
        let Ok(change) = serde_json::from_slice::<Change>(&body) else {
            return Ok(refusal(StatusCode::BAD_REQUEST));
        };
        one(sqlx::query(WRITE)
            .bind(id)
            .bind(&*change.phone)
            .fetch_optional(&self.database)
            .await?)
    }

    async fn list(&self) -> Answer {
        let mut rows = sqlx::query(LIST).fetch(&self.database);
        let mut body = Vec::with_capacity(2 << 20);
        body.push(b'[');
        while let Some(row) = rows.try_next().await? {
            if body.len() > 1 {
                body.push(b',');
            }
            serde_json::to_writer(&mut body, &Contact::try_from(&row)?)?;
        }
        body.push(b']');
        Ok(json(StatusCode::OK, body))
    }

    async fn relay(&self) -> Answer {
        let (head, body) = self.client.get(self.upstream.clone()).await?.into_parts();
        let mut response = Response::new(Either::Right(body));
        *response.status_mut() = head.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ENGINE, HeaderValue::from_static("hyper"));
        headers.insert(LOCATION, HeaderValue::from_static("/v1/user"));
        Ok(response)
    }
}

fn one(row: Option<PgRow>) -> Answer {
    match &row {
        Some(row) => Ok(json(StatusCode::OK, serde_json::to_vec(&Contact::try_from(row)?)?)),
        None => Ok(refusal(StatusCode::NOT_FOUND)),
    }
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn refusal(status: StatusCode) -> Response<Body> {
    json(status, format!(r#"{{"status":{}}}"#, status.as_u16()))
}

async fn serve(port: u16, connections: u32) -> Result<(), Failure> {
    // Host, user and database come from PGHOST, PGUSER and PGDATABASE.
    let database = PgPoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .test_before_acquire(false)
        .connect_lazy_with(PgConnectOptions::new().disable_statement_logging());
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let app: &App = Box::leak(Box::new(App {
        database,
        client: Client::builder(TokioExecutor::new()).build(connector),
        upstream: format!("http://{}/v1/avatar", env::var("UPSTREAM").unwrap_or_default()).parse()?,
        avatars: Avatars::load(&env::var("AVATAR")?)?,
    }));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| async move {
            Ok::<_, Failure>(match app.route(request).await {
                Ok(response) => response,
                Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR),
            })
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(env::var("CORES")?.parse()?)
        .enable_all()
        .build()?
        .block_on(serve(env::var("PORT")?.parse()?, env::var("POOL")?.parse()?))
}
