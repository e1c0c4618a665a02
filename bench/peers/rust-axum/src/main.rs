//! The routes of the benchmark with axum, deadpool-postgres and tokio-postgres: a runtime and a pool for each core, so
//! that no request moves from one to another.

use std::{borrow::Cow, env, error::Error, net::Ipv4Addr, pin::pin, thread};

use axum::extract::{Path, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::{Json, Router, body::Bytes, routing::get};
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, runtime};
use tokio_postgres::{Config, NoTls, Row};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONTACT: &str = "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1";
const LIST: &str = "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id";
const WRITE: &str = "UPDATE contact SET phone = $2 WHERE id = $1 RETURNING id, firstname, lastname, phone, email";

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

struct Failure(StatusCode);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "status": self.0.as_u16() }))).into_response()
    }
}

impl From<PoolError> for Failure {
    fn from(_: PoolError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(_: tokio_postgres::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

type Trouble = Box<dyn Error + Send + Sync>;
type Answer = Result<Response, Failure>;

fn one(row: Option<Row>) -> Answer {
    let row = row.ok_or(Failure(StatusCode::NOT_FOUND))?;
    Ok(Json(Contact::try_from(&row)?).into_response())
}

async fn contact(State(database): State<Pool>, Path(id): Path<i32>) -> Answer {
    let client = database.get().await?;
    let statement = client.prepare_cached(CONTACT).await?;
    one(client.query_opt(&statement, &[&id]).await?)
}

async fn write(State(database): State<Pool>, Path(id): Path<i32>, body: Bytes) -> Answer {
    let change: Change = serde_json::from_slice(&body).map_err(|_| Failure(StatusCode::BAD_REQUEST))?;
    let client = database.get().await?;
    let statement = client.prepare_cached(WRITE).await?;
    one(client.query_opt(&statement, &[&id, &change.phone]).await?)
}

async fn list(State(database): State<Pool>) -> Answer {
    let client = database.get().await?;
    let statement = client.prepare_cached(LIST).await?;
    let no_parameters: [i32; 0] = [];
    let mut rows = pin!(client.query_raw(&statement, no_parameters).await?);
    let mut body = Vec::with_capacity(2 << 20);
    body.push(b'[');
    while let Some(row) = rows.try_next().await? {
        if body.len() > 1 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, &Contact::try_from(&row)?).expect("strings can be serialized");
    }
    body.push(b']');
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// What a core does: its own runtime with its own connections, on the listener of all.
async fn serve(listener: std::net::TcpListener, connections: usize) -> Result<(), Trouble> {
    let mut config = Config::new();
    config.host(env::var("PGHOST")?).user(env::var("PGUSER")?).dbname(env::var("PGDATABASE")?);
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
    let database = Pool::builder(manager).max_size(connections).build()?;

    let app = Router::new()
        .route("/contacts", get(list))
        .route("/contacts/{id}", get(contact).put(write))
        .fallback(async || Failure(StatusCode::NOT_FOUND))
        .with_state(database);
    let listener = TcpListener::from_std(listener)?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

fn main() -> Result<(), Trouble> {
    let (cores, pool): (usize, usize) = (env::var("CORES")?.parse()?, env::var("POOL")?.parse()?);
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, env::var("PORT")?.parse()?))?;
    listener.set_nonblocking(true)?;

    let mut threads = Vec::with_capacity(cores);
    for core in 0..cores {
        let listener = listener.try_clone()?;
        // The first cores take what is left over.
        let share = (pool / cores + usize::from(core < pool % cores)).max(1);
        threads.push(thread::spawn(move || -> Result<(), Trouble> {
            runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(listener, share))
        }));
    }
    threads.into_iter().try_for_each(|thread| thread.join().expect("panics abort"))
}
