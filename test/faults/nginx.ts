/** nginx as it comes, buffering on, and compressing whatever it may. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/free-port.ts';

const PLACES = [process.env['NGINX_PATH'] ?? '', '/usr/sbin/nginx', '/usr/local/sbin/nginx', '/usr/bin/nginx'];
const nginx = PLACES.find((path) => path !== '' && existsSync(path));

/** Why the tests are skipped, if they are. */
export const noNginx: string | undefined =
  nginx === undefined ? 'no nginx here: install it, or set NGINX_PATH' : undefined;

export interface Nginx {
  url: string;
  /** Ends it, and all connections. */
  stop(): Promise<void>;
  /** On the same port. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function openNginx(target: string): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'everturn-nginx-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const log = join(folder, 'error.log');
  await writeFile(join(folder, 'nginx.conf'), configuration({ folder, port, target }));
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn(nginx ?? '', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', log], { stdio: 'ignore' });
    for (let tries = 0; tries < 200 && child.exitCode === null; tries += 1) {
      const isUp = await fetch(`${url}/nginx-is-up`).then(
        () => true,
        () => false,
      );
      if (isUp) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`nginx does not answer at ${url}.\n${await readFile(log, 'utf8')}`);
  };
  const stop = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
  await start();
  return {
    url,
    start,
    stop,
    async close() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function configuration({ folder, port, target }: { folder: string; port: number; target: string }): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off;
    pid ${folder}/nginx.pid;
    events {}
    http {
      access_log off;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n      ')}
      gzip on;
      gzip_types *;
      gzip_proxied any;
      server {
        listen 127.0.0.1:${port};
        location = /nginx-is-up { return 204; }
        location / {
          proxy_pass ${target};
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
      }
    }
  `;
}
