// The operators' page: asks for /status.json every second and draws what has changed. Texts become text nodes and
// nothing else, so that whatever a conf, a log or a client has in them is shown as it is.
'use strict';

(() => {
	const EVERY_MS = 1000;
	const GIVE_UP_MS = 5000;
	const HISTORY = 300; // points of a sparkline
	const RATE_S = 3; // what is counted over so many seconds is told as a rate,
	const TIMES_S = 10; // and over so many as percentiles
	const CPU_S = 30; // it is measured every ten seconds
	const SVG = 'http://www.w3.org/2000/svg';

	const byId = (id) => document.getElementById(id);
	const looks = []; // what was read in the last seconds, the newest one last
	const history = { rate: [], p99: [], p50: [], server: [], client: [], flight: [] };

	// Figures

	const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
	const number = (n) => whole.format(n);

	function rate(n) {
		return n === 0 ? '0' : n < 10 ? n.toFixed(1) : number(n);
	}

	function duration(s) {
		if (s === null)
			return '–';
		if (s < 0.001)
			return `${Math.round(s * 1e6)} µs`;
		if (s < 1)
			return `${(s * 1e3).toPrecision(s < 0.1 ? 2 : 3)} ms`;
		return `${s.toPrecision(3)} s`;
	}

	function age(s) {
		const units = [[86400, 'd', 3600, 'h'], [3600, 'h', 60, 'min'], [60, 'min', 1, 's']];
		for (const [big, bigName, small, smallName] of units)
			if (s >= big)
				return `${Math.floor(s / big)} ${bigName} ${Math.floor(s % big / small)} ${smallName}`;
		return `${Math.floor(s)} s`;
	}

	function size(bytes) {
		const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
		let i = 0;
		while (bytes >= 1000 && i + 1 < units.length) {
			bytes /= 1000;
			i++;
		}
		return `${i === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[i]}`;
	}

	// How many answers took at most that share of the time: by the buckets of a histogram, with what lies between two
	// bounds spread evenly. Null where there was none.
	function percentile(buckets, bounds, share) {
		const sum = buckets.reduce((a, b) => a + b, 0);
		if (sum === 0)
			return null;
		let wanted = sum * share;
		for (let i = 0; i < buckets.length; i++) {
			if (wanted <= buckets[i] && buckets[i] > 0) {
				const low = i === 0 ? 0 : bounds[i - 1];
				const high = i < bounds.length ? bounds[i] : low;
				return low + (high - low) * wanted / buckets[i];
			}
			wanted -= buckets[i];
		}
		return bounds[bounds.length - 1];
	}

	// What was read so many seconds ago, or as long ago as there is something.
	function ago(now, seconds) {
		let found = looks[0];
		for (const look of looks)
			if (now.clock - look.clock >= seconds)
				found = look;
		return found;
	}

	const minus = (a, b) => a.map((n, i) => n - (b ? b[i] : 0));

	// Elements

	function element(name, className, ...children) {
		const made = document.createElement(name);
		if (className)
			made.className = className;
		made.append(...children);
		return made;
	}

	function setText(id, text) {
		const target = byId(id);
		if (target.textContent !== text)
			target.textContent = text;
	}

	// A cell is a text, or { text, className }, or a node that stays as long as its key does.
	function fill(cell, content) {
		if (content instanceof Node) {
			if (cell.firstChild !== content)
				cell.replaceChildren(content);
			return;
		}
		const { text, className } = typeof content === 'string' ? { text: content, className: '' } : content;
		if (cell.textContent !== text)
			cell.textContent = text;
		if (className !== undefined)
			cell.className = `${cell.dataset.base} ${className}`.trim();
	}

	// Keeps the rows of a table as the data are: those that are there are changed and moved, not made again, so that
	// what is open, selected or focused stays so.
	class Table {
		constructor(id, keyOf, cellsOf, empty) {
			this.table = byId(id);
			this.body = this.table.tBodies[0];
			this.heads = [...this.table.tHead.rows[0].cells];
			this.keyOf = keyOf;
			this.cellsOf = cellsOf;
			this.empty = empty;
			this.rows = new Map();
			this.body.replaceChildren();
		}

		makeRow() {
			const row = document.createElement('tr');
			for (const head of this.heads) {
				const cell = row.insertCell();
				cell.dataset.base = cell.className = head.className;
			}
			return row;
		}

		draw(items) {
			const kept = new Map();
			for (const item of items) {
				const key = this.keyOf(item);
				const row = this.rows.get(key) ?? this.makeRow();
				this.cellsOf(item, row).forEach((content, i) => fill(row.cells[i], content));
				kept.set(key, row);
			}
			this.rows = kept;
			const wanted = [...kept.values()];
			if (wanted.length === 0)
				wanted.push(this.noRow());
			if (wanted.length !== this.body.rows.length || wanted.some((row, i) => row !== this.body.rows[i])) {
				const focused = document.activeElement;
				this.body.replaceChildren(...wanted);
				if (this.body.contains(focused))
					focused.focus({ preventScroll: true });
			}
		}

		noRow() {
			if (!this.none) {
				this.none = element('tr', '', element('td', 'empty', this.empty));
				this.none.cells[0].colSpan = this.heads.length;
			}
			return this.none;
		}
	}

	// Sparklines

	function path(className, points, top) {
		const made = document.createElementNS(SVG, 'path');
		const first = HISTORY - points.length;
		let d = '', from = 0, open = false;
		points.forEach((value, i) => {
			if (value === null) {
				if (open && className === 'area')
					d += `V60H${from}Z`;
				open = false;
				return;
			}
			const x = first + i, y = (57 - 54 * Math.min(value / top, 1)).toFixed(1);
			if (!open)
				from = x;
			d += `${open ? 'L' : className === 'area' ? `M${x} 60L` : 'M'}${x} ${y}`;
			if (!open && className !== 'area')
				d += 'h0.01';
			open = true;
		});
		if (open && className === 'area')
			d += 'V60Z';
		made.setAttribute('class', className);
		made.setAttribute('d', d);
		return made;
	}

	function spark(name, first, second, format) {
		const values = [...first, ...(second ?? [])].filter((value) => value !== null);
		const peak = Math.max(0, ...values), top = peak === 0 ? 1 : peak;
		const lines = [path('area', first, top), path('line', first, top)];
		if (second)
			lines.push(path('second', second, top));
		byId(`${name}-spark`).replaceChildren(...lines);
		setText(`${name}-peak`, peak === 0 ? '' : `peak ${format(peak)}`);
	}

	function remember(name, value) {
		history[name].push(value);
		if (history[name].length > HISTORY)
			history[name].shift();
	}

	// The cards

	function perSecond(now, name, seconds = RATE_S) {
		const before = ago(now, seconds), time = now.clock - before.clock;
		return time > 0 ? (now[name] - before[name]) / time : 0;
	}

	function drawCards(now) {
		const before = ago(now, TIMES_S);
		const buckets = minus(now.latency.buckets, before.latency.buckets);
		const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => percentile(buckets, now.bounds, share));
		const all = perSecond(now, 'requests');
		const server = perSecond(now, 'server_errors'), client = perSecond(now, 'client_errors');
		for (const [name, value] of Object.entries({ rate: all, p99, p50, server, client, flight: now.requests_in_flight }))
			remember(name, value);

		setText('rate', rate(all));
		setText('rate-unit', 'a second');
		setText('rate-more', `${number(now.requests)} in all`);
		spark('rate', history.rate, null, rate);

		setText('latency', duration(p99));
		setText('latency-more', `p50 ${duration(p50)} · p90 ${duration(p90)}`);
		spark('latency', history.p99, history.p50, duration);

		setText('errors', rate(server));
		byId('errors').className = server > 0 ? 'bad' : '';
		setText('errors-unit', '5xx a second');
		setText('errors-more', `${rate(client)} 4xx a second`);
		spark('errors', history.server, history.client, rate);

		setText('flight', number(now.requests_in_flight));
		setText('flight-more', `${number(now.connections)} connections, ${number(now.connections_idle)} idle`);
		spark('flight', history.flight, null, number);
	}

	// Routes

	const routeKey = (route) => `${route.method} ${route.path} ${route.listeners.join()}`;

	function withTypes(title, items) {
		return [element('dt', '', title), ...items.map(({ name, type }) =>
			element('dd', '', element('b', '', name), ' ', type ?? 'not known yet'))];
	}

	function plural(n, what) {
		return `${n} ${what}${n === 1 ? '' : 's'}`;
	}

	function routeCell(route) {
		const cell = element('div', 'route', element('span', 'method', route.method), ' ', route.path);
		for (const listener of route.listeners)
			cell.append(element('span', 'tag', listener));
		if (route.kind === null)
			cell.append(element('span', 'tag', 'no longer in the conf'));
		else if (route.kind !== 'sql')
			cell.append(element('span', 'tag', route.kind));
		else if (route.lane !== 'read' && route.lane !== 'write')
			cell.append(element('span', 'tag', `lane ${route.lane}`));
		const { parameters = [], columns = [] } = route;
		if (parameters.length + columns.length === 0)
			return cell;
		const list = element('dl');
		if (parameters.length > 0)
			list.append(...withTypes('Parameters', parameters));
		if (columns.length > 0)
			list.append(...withTypes('Columns', columns));
		const summary = [[parameters, 'parameter'], [columns, 'column']]
			.filter(([items]) => items.length > 0).map(([items, what]) => plural(items.length, what)).join(', ');
		cell.append(element('details', '', element('summary', '', summary), list));
		return cell;
	}

	// What a route has done in the last seconds.
	function measure(route, now, short, long) {
		const time = now.clock - short.clock, then = short.byRoute.get(routeKey(route));
		const older = long.byRoute.get(routeKey(route));
		const times = minus(route.latency.buckets, older?.latency.buckets);
		const database = route.database ? minus(route.database.buckets, older?.database?.buckets) : null;
		return {
			route,
			rate: time > 0 ? (route.requests - (then?.requests ?? 0)) / time : 0,
			p50: percentile(times, now.bounds, 0.5),
			p99: percentile(times, now.bounds, 0.99),
			database: database === null ? null : percentile(database, now.bounds, 0.99),
			errors: route.requests === 0 ? 0 : (route.client_errors + route.server_errors) / route.requests,
		};
	}

	const sorting = { by: 'rate', down: true };
	const sortKeys = {
		route: ({ route }) => `${route.path} ${route.method}`,
		rate: (item) => item.rate,
		requests: ({ route }) => route.requests,
		errors: ({ route }) => route.client_errors + route.server_errors,
		p50: (item) => item.p50 ?? -1,
		p99: (item) => item.p99 ?? -1,
		database: (item) => item.database ?? -1,
		sent: ({ route }) => route.sent,
	};

	// What is equal stays in the order of the conf.
	function sorted(items) {
		const keyOf = sortKeys[sorting.by], sign = sorting.down ? -1 : 1;
		return items.toSorted((a, b) => {
			const x = keyOf(a), y = keyOf(b);
			return sign * (typeof x === 'string' ? x.localeCompare(y) : x - y);
		});
	}

	function errorsCell({ client_errors: client, server_errors: server }) {
		if (server > 0)
			return { text: client > 0 ? `${number(server)} + ${number(client)}` : number(server), className: 'bad' };
		return { text: number(client), className: client > 0 ? '' : 'quiet' };
	}

	const routes = new Table('routes', ({ route }) => routeKey(route), (item, row) => {
		const { route } = item, signature = JSON.stringify([route.kind, route.lane, route.parameters, route.columns]);
		if (row.dataset.signature !== signature) {
			row.dataset.signature = signature;
			row.routeCell = routeCell(route);
		}
		const idle = item.rate === 0 ? 'quiet' : '';
		return [row.routeCell, { text: rate(item.rate), className: idle }, number(route.requests), errorsCell(route),
			duration(item.p50), duration(item.p99), duration(item.database), size(route.sent)];
	}, 'The conf has no route.');

	function drawRoutes(now) {
		const short = ago(now, RATE_S), long = ago(now, TIMES_S);
		routes.draw(sorted(now.routes.map((route) => measure(route, now, short, long))));
	}

	function sortBy(name) {
		sorting.down = sorting.by === name ? !sorting.down : name !== 'route';
		sorting.by = name;
		showSorting();
		if (looks.length > 0)
			drawRoutes(looks[looks.length - 1]);
	}

	function showSorting() {
		for (const head of routes.heads) {
			const direction = sorting.down ? 'descending' : 'ascending';
			head.setAttribute('aria-sort', head.dataset.sort === sorting.by ? direction : 'none');
		}
	}

	function makeSortable() {
		for (const head of routes.heads) {
			const button = element('button', '', head.textContent);
			button.type = 'button';
			button.addEventListener('click', () => sortBy(head.dataset.sort));
			head.replaceChildren(button);
		}
		showSorting();
	}

	// The other tables

	const total = (object) => Object.values(object).reduce((a, b) => a + b, 0);

	function causes(failures) {
		const text = Object.entries(failures).filter(([, n]) => n > 0)
			.map(([cause, n]) => `${number(n)} ${cause.replaceAll('_', ' ')}`).join(', ');
		return { text: text || '0', className: text ? 'warn' : 'quiet' };
	}

	function laneState(state) {
		const present = Object.entries(state).filter(([, n]) => n > 0), text = present.map(([name]) => name.replaceAll('_', ' '));
		const good = present.every(([name]) => name === 'ready');
		const trouble = present.some(([name]) => name === 'broken' || name === 'backing_off');
		return { text: text.join(', ') || '–', className: `dot ${trouble ? 'bad' : good && text.length > 0 ? 'good' : 'warn'}` };
	}

	const lanes = new Table('lanes', (lane) => lane.lane, (lane) => [
		lane.lane, laneState(lane.state), number(lane.connections), number(lane.in_flight),
		{ text: number(lane.waiting), className: lane.waiting > 0 ? 'warn' : '' }, number(lane.queries), causes(lane.failures),
	], 'No route asks PostgreSQL.');

	const STUCK_S = 5;

	function workerState({ state, heartbeat }) {
		if (heartbeat >= STUCK_S)
			return { text: `stuck for ${age(heartbeat)}`, className: 'dot bad' };
		return { text: state, className: `dot ${state === 'ready' ? 'good' : 'warn'}` };
	}

	const workers = new Table('workers', (worker) => worker.pid, (worker) => {
		const { now, pid } = worker, before = ago(now, CPU_S);
		const then = before.workers.find((other) => other.pid === pid), time = now.clock - before.clock;
		const share = then && time >= TIMES_S ? (worker.cpu - then.cpu) / time : worker.age > 0 ? worker.cpu / worker.age : 0;
		return [
			`${worker.worker}`, workerState(worker), `${pid}`, `${worker.generation}`, age(worker.age), number(worker.in_flight), size(worker.proportional),
			`${Math.min(100, share * 100).toFixed(share < 0.1 ? 1 : 0)} %`,
			{ text: worker.route ?? '–', className: worker.route ? 'route' : 'quiet' },
		];
	}, 'There is no worker.');

	const upstreams = new Table('upstreams', (upstream) => `${upstream.upstream} ${upstream.server}`, (upstream) => [
		upstream.upstream, upstream.server ?? 'none', number(upstream.connections), number(upstream.in_flight),
		number(upstream.requests), number(upstream.reused), causes(upstream.failures),
	], 'No route relays.');

	const log = new Table('log', (line) => line.key, (line) => [
		{ text: line.time.slice(0, 19).replace('T', ' '), className: '' },
		{ text: line.level, className: line.level === 'error' ? 'bad' : 'warn' },
		`${line.process} [${line.pid}]`, line.text,
	], 'There were none.');

	// The same line twice in a millisecond has keys of its own.
	function linesOf(now) {
		const seen = new Map();
		const of = (level, lines) => lines.map((line) => ({ ...line, level }));
		const all = [...of('error', now.errors), ...of('warning', now.warnings)];
		all.sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
		return all.map((line) => {
			const words = `${line.time} ${line.pid} ${line.text}`, n = seen.get(words) ?? 0;
			seen.set(words, n + 1);
			return { ...line, key: `${words} ${n}` };
		});
	}

	// All of it

	function show(state, text) {
		const target = byId('state');
		if (target.textContent !== text)
			target.textContent = text;
		target.className = `state ${state}`;
	}

	function drawState(now) {
		const ready = now.workers.filter((worker) => worker.state === 'ready');
		const stuck = now.workers.filter((worker) => worker.heartbeat >= STUCK_S);
		const away = now.lanes.some((lane) => lane.state.ready === 0 && total(lane.state) > 0);
		if (ready.length === 0)
			show('bad', 'No worker accepts connections');
		else if (stuck.length > 0)
			show('bad', `${plural(stuck.length, 'worker')} stuck`);
		else if (away)
			show('bad', 'PostgreSQL is away');
		else
			show('good', 'Serving');
		const facts = [`${plural(ready.length, 'worker')} ready`, `${plural(now.reloads.done, 'reload')}`];
		const deaths = total(now.worker_deaths);
		if (deaths > 0)
			facts.push(`${plural(deaths, 'death')} of workers`);
		if (now.helpers > 0)
			facts.push(`${plural(now.helpers, 'helper')}, ${plural(now.helper_jobs_running, 'job')} running, ${number(now.helper_jobs_waiting)} waiting`);
		facts.push(`as of ${now.now.slice(11, 19)} UTC`);
		setText('facts', facts.join(' · '));
	}

	function draw(now) {
		drawState(now);
		drawCards(now);
		drawRoutes(now);
		lanes.draw(now.lanes);
		workers.draw(now.workers.map((worker) => ({ ...worker, now })));
		upstreams.draw(now.upstreams.filter((upstream) => upstream.server !== null || total(upstream.failures) > 0));
		byId('upstreams-panel').hidden = now.upstreams.length === 0;
		log.draw(linesOf(now));
		document.body.classList.remove('stale');
	}

	// Whoever counts less than before is another server.
	function take(now) {
		const last = looks[looks.length - 1];
		if (last && (now.requests < last.requests || now.clock < last.clock))
			looks.length = 0;
		now.byRoute = new Map(now.routes.map((route) => [routeKey(route), route]));
		looks.push(now);
		while (looks.length > 1 && now.clock - looks[1].clock >= CPU_S)
			looks.shift();
	}

	// What has been drawn stays, and is pale, while nobody answers.
	function miss(error) {
		show('bad', error.name === 'TimeoutError' ? 'No answer' : 'Not reached');
		document.body.classList.add('stale');
	}

	async function look() {
		const began = performance.now();
		try {
			const response = await fetch('/status.json', { cache: 'no-store', signal: AbortSignal.timeout(GIVE_UP_MS) });
			if (!response.ok)
				throw new Error(`status ${response.status}`);
			take(await response.json());
			draw(looks[looks.length - 1]);
		} catch (error) {
			miss(error);
		}
		setTimeout(look, Math.max(0, EVERY_MS - (performance.now() - began)));
	}

	document.body.classList.add('live');
	makeSortable();
	look();
})();
