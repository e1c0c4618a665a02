// Contacts in Fastify on node-postgres: a process per core, the connections dealt out among them.

import cluster from "node:cluster";
import Fastify from "fastify";
import pg from "pg";

const contact = {
  type: "object",
  properties: {
    id: { type: "integer" },
    firstname: { type: "string", nullable: true },
    lastname: { type: "string" },
    phone: { type: "string", nullable: true },
    email: { type: "string", nullable: true },
  },
};
const params = { type: "object", properties: { id: { type: "integer" } } };
const change = { type: "object", required: ["phone"], properties: { phone: { type: "string" } } };

// Clients in turns, each with as many queries on the way as there are requests: a pg.Pool has one on a connection,
// and this takes half its CPU time.
async function connect(size) {
  const clients = await Promise.all(
    Array.from({ length: size }, async () => {
      const client = new pg.Client({ connectionString: process.env.DATABASE_URL, pipeline: true });
      await client.connect();
      return client;
    }),
  );
  let turn = 0;
  return (name, text, values) => {
    turn = (turn + 1) % size;
    return clients[turn].query({ name, text, values });
  };
}

async function serve(size) {
  const query = await connect(size);
  const app = Fastify({ logger: false });

  function only(result, reply) {
    if (result.rows.length === 0) {
      reply.callNotFound();
      return reply;
    }
    return result.rows[0];
  }

  app.get("/contacts/:id", { schema: { params, response: { 200: contact } } }, async (request, reply) =>
    only(
      await query("contact", "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1", [
        request.params.id,
      ]),
      reply,
    ),
  );

  // No schema for the answer: JSON.stringify, native code, is the faster one for 10,000 rows.
  app.get("/contacts", async () => {
    const result = await query("list", "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id");
    return result.rows;
  });

  app.put("/contacts/:id", { schema: { params, body: change, response: { 200: contact } } }, async (request, reply) =>
    only(
      await query(
        "write",
        "UPDATE contact SET phone = $2 WHERE id = $1 RETURNING id, firstname, lastname, phone, email",
        [request.params.id, request.body.phone],
      ),
      reply,
    ),
  );

  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}

if (cluster.isPrimary) {
  const pool = Number(process.env.POOL);
  const workers = Math.min(Number(process.env.CORES), pool);
  for (let i = 0; i < workers; i++) {
    cluster.fork({ POOL: Math.floor(pool / workers) + (i < pool % workers ? 1 : 0) });
  }
  // Half a server is none, and workers go when the one that forked them does.
  cluster.once("exit", () => process.exit(1));
  process.once("SIGTERM", () => process.exit(0));
} else {
  await serve(Number(process.env.POOL));
}
