//! The routes of the benchmark with actix-web and tokio-postgres: each worker is one thread and has connections of
//! its own, on which the queries of all its requests are pipelined.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{borrow::Cow, cell::Cell, env, fs, io, net::Ipv4Addr, pin::pin, sync::Arc};

use actix_web::error::{ErrorBadRequest, ErrorInternalServerError};
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{App, Error, HttpResponse, HttpServer, get, put, rt};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONTACT: &str = "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1";
const LIST: &str = "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id";
const WRITE: &str = "UPDATE contact SET phone = $2 WHERE id = $1 RETURNING id, firstname, lastname, phone, email";

type Answer = Result<HttpResponse, Error>;

#[derive(Serialize)]
struct Contact<'row> {
    id: i32,
    firstname: Option<&'row str>,
    lastname: &'row str,
    phone: Option<&'row str>,
    email: Option<&'row str>,
}

impl<'row> TryFrom<&'row Row> for Contact<'row> {
    type Error = tokio_postgres::Error;

    fn try_from(row: &'row Row) -> Result<Self, Self::Error> {
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
    phone: Cow<'body, str>,
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
    fn load(file: &str) -> io::Result<Self> {
        let mut avatars: Vec<Avatar> = serde_json::from_slice(&fs::read(file)?)?;
        let mark = "{now}";
        avatars.first_mut().ok_or(io::ErrorKind::InvalidData)?.created_at = mark.into();
        let document = serde_json::to_string(&avatars)?;
        let (head, tail) = document.split_once(mark).ok_or(io::ErrorKind::InvalidData)?;
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

/// A connection with its statements.
struct Connection {
    client: Client,
    contact: Statement,
    list: Statement,
    write: Statement,
}

impl Connection {
    async fn open(config: &Config) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = config.connect(NoTls).await?;
        rt::spawn(connection);
        Ok(Self {
            contact: client.prepare(CONTACT).await?,
            list: client.prepare(LIST).await?,
            write: client.prepare(WRITE).await?,
            client,
        })
    }
}

/// The connections of one worker, which take turns.
struct Database {
    connections: Vec<Connection>,
    turn: Cell<usize>,
}

impl Database {
    async fn open(config: Arc<Config>, count: usize) -> Result<Self, tokio_postgres::Error> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Connection::open(&config).await?);
        }
        Ok(Self {
            connections,
            turn: Cell::new(0),
        })
    }

    fn next(&self) -> &Connection {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.connections.len());
        &self.connections[turn]
    }
}

fn json(body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(body)
}

fn refusal(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("application/json")
        .body(format!(r#"{{"status":{}}}"#, status.as_u16()))
}

fn one(row: Option<Row>) -> Answer {
    match &row {
        Some(row) => Ok(json(serde_json::to_vec(
            &Contact::try_from(row).map_err(ErrorInternalServerError)?,
        )?)),
        None => Ok(refusal(StatusCode::NOT_FOUND)),
    }
}

#[get("/contacts/{id}")]
async fn contact(database: Data<Database>, id: Path<i32>) -> Answer {
    let connection = database.next();
    one(connection
        .client
        .query_opt(&connection.contact, &[&*id])
        .await
        .map_err(ErrorInternalServerError)?)
}

#[put("/contacts/{id}")]
async fn write(database: Data<Database>, id: Path<i32>, body: Bytes) -> Answer {
    let change: Change = serde_json::from_slice(&body).map_err(ErrorBadRequest)?;
    let connection = database.next();
    let row = connection
        .client
        .query_opt(&connection.write, &[&*id, &change.phone])
        .await;
    one(row.map_err(ErrorInternalServerError)?)
}

#[get("/contacts")]
async fn list(database: Data<Database>) -> Answer {
    read_list(database.next())
        .await
        .map(json)
        .map_err(ErrorInternalServerError)
}

async fn read_list(connection: &Connection) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let no_parameters: [i32; 0] = [];
    let mut rows = pin!(connection.client.query_raw(&connection.list, no_parameters).await?);
    let mut body = Vec::with_capacity(2 << 20);
    body.push(b'[');
    while let Some(row) = rows.try_next().await? {
        if body.len() > 1 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, &Contact::try_from(&row)?)?;
    }
    body.push(b']');
    Ok(body)
}

#[get("/v1/avatar")]
async fn avatar(avatars: Data<Avatars>) -> HttpResponse {
    json(avatars.now())
}

fn number(name: &str) -> io::Result<usize> {
    setting(name)?.parse().map_err(io::Error::other)
}

fn setting(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let mut config = Config::new();
    config
        .host(setting("PGHOST")?)
        .user(setting("PGUSER")?)
        .dbname(setting("PGDATABASE")?);
    let config = Arc::new(config);
    let avatars = Data::new(Avatars::load(&setting("AVATAR")?)?);
    let (pool, workers) = (number("POOL")?, number("CORES")?);
    let started = AtomicUsize::new(0);
    let started = Arc::new(started);

    HttpServer::new(move || {
        let (config, worker) = (config.clone(), started.fetch_add(1, Ordering::Relaxed) % workers);
        // The first workers take what is left over.
        let share = (pool / workers + usize::from(worker < pool % workers)).max(1);
        App::new()
            .app_data(avatars.clone())
            .data_factory(move || Database::open(config.clone(), share))
            .service(contact)
            .service(write)
            .service(list)
            .service(avatar)
    })
    .workers(workers)
    .tcp_nodelay(true)
    .bind((Ipv4Addr::LOCALHOST, number("PORT")? as u16))?
    .run()
    .await
}
