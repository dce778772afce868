/**
 * Signed links to one approval: tokens that say which approval, what to do with it, and in whose name.
 *
 *  L1 A token is a JWT (HS256, RFC 7519) under a key that is derived from a secret of the runtime, whose id it names: links made under a former
 *     secret hold as long as that secret is among the runtime's.
 *  L2 It is bound to approval, action and addressee. What makes it one-time is the approval: nobody answers twice, and none is decided twice.
 *     Whoever may approve a call in doubt may say as well that nobody knows: the action "approve" stands for all that can be said of it.
 *  L3 It says when it was made: the links that an addressee has had so far can be taken back.
 */

import { durationMs } from '../../runtime/duration.ts';
import type { Duration } from '../../runtime/duration.ts';
import { DurableError } from '../../runtime/errors.ts';
import type { RunContext } from '../../runtime/context.ts';
import { keyIdOf } from '../../runtime/keyring.ts';
import type { Key } from '../../runtime/keyring.ts';
import { hexToBytes, signHex } from '../../runtime/signature.ts';

export type LinkAction = 'approve' | 'deny' | 'view';

export type ApprovalLinks = Record<LinkAction, string>;

export interface LinkOptions {
  /** Whose links they are: who has answered, when one is used. Give each person links of their own. */
  to: string;
  /** Where the routes of `createApp` are reached, with their base path: "https://shop.example/api". Default: the runtime's `publicUrl`. */
  url?: string;
  /** How long they hold. Default: as long as the approval can be answered; 7 days where that is for ever. */
  expiresIn?: Duration;
  /** The addressee has to be logged in besides: `authorize` must answer a principal of this id. Default false. */
  requireLogin?: boolean;
}

/** What a token says. */
export interface LinkClaims {
  approval: string;
  action: LinkAction;
  to: string;
  requireLogin: boolean;
  /** When it was made: milliseconds. */
  issuedAt: number;
  /** Its time is over. */
  isExpired: boolean;
}

interface Subject {
  approval: { id: string; expiresAt: number | null };
}

const AUDIENCE = 'everturn:approval';
const DERIVED_FOR = 'approval links';
const DEFAULT_MS = 7 * 24 * 60 * 60_000;

/** Throws `invalid_argument` and `invalid_duration`. */
export async function createLinks(context: RunContext, options: LinkOptions & Subject): Promise<ApprovalLinks> {
  const { to, url = context.publicUrl ?? '', expiresIn, requireLogin = false, approval } = options;
  if (typeof to !== 'string' || to === '') throw invalid('"to" is missing: say whose links they are');
  if (!URL.canParse(url))
    throw invalid(
      `the URL ${JSON.stringify(url)} is none: pass "url", where createApp's routes are reached, or createRuntime({ publicUrl })`,
    );
  const now = context.now();
  const expiresAt =
    expiresIn === undefined
      ? (approval.expiresAt ?? now + DEFAULT_MS)
      : now + durationMs(expiresIn, 'links({ expiresIn })');
  const key = { id: keyIdOf(context.run.inputHash), bytes: hexToBytes(context.sign(DERIVED_FOR)) };
  const link = async (action: LinkAction): Promise<string> => {
    const claims = { approval: approval.id, action, to, requireLogin };
    const token = await encodeLink(claims, { key, now, expiresAt });
    return `${url.replace(/\/+$/, '')}/approvals/links/${token}`;
  };
  const [approve, deny, view] = await Promise.all([link('approve'), link('deny'), link('view')]);
  return { approve, deny, view };
}

type Signing = { key: { id: string | undefined; bytes: Uint8Array }; now: number; expiresAt: number };

async function encodeLink(
  { approval, action, to, requireLogin }: Omit<LinkClaims, 'isExpired' | 'issuedAt'>,
  { key, now, expiresAt }: Signing,
): Promise<string> {
  const { SignJWT } = await import('jose');
  return new SignJWT({ approval, action, ...(requireLogin ? { login: true } : {}) })
    .setProtectedHeader({ alg: 'HS256', ...(key.id === undefined ? {} : { kid: key.id }) })
    .setAudience(AUDIENCE)
    .setSubject(to)
    .setIssuedAt(now / 1_000)
    .setExpirationTime(Math.ceil(expiresAt / 1_000))
    .sign(key.bytes);
}

/** L1. Undefined for what none of the keys has signed. */
export async function decodeLink(
  token: string,
  { keyOf, now }: { keyOf: (id: string | undefined) => Promise<Key | undefined>; now: number },
): Promise<LinkClaims | undefined> {
  const { decodeProtectedHeader, errors, jwtVerify } = await import('jose');
  try {
    const key = await keyOf(decodeProtectedHeader(token).kid);
    if (key === undefined) return undefined;
    const derived = hexToBytes(signHex(key.bytes, DERIVED_FOR));
    const options = { algorithms: ['HS256'], audience: AUDIENCE, requiredClaims: ['exp', 'sub'] };
    const { payload } = await jwtVerify(token, derived, { ...options, currentDate: new Date(now) });
    return claimsOf(payload, false);
  } catch (error) {
    // Its signature was good: what became of the approval may be said.
    if (error instanceof errors.JWTExpired) return claimsOf(error.payload, true);
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
    throw error;
  }
}

function claimsOf(payload: Record<string, unknown>, isExpired: boolean): LinkClaims | undefined {
  const { approval, action, sub: to, login, iat } = payload;
  if (typeof approval !== 'string' || typeof to !== 'string' || !isAction(action)) return undefined;
  const issuedAt = typeof iat === 'number' ? Math.round(iat * 1_000) : 0;
  return { approval, action, to, requireLogin: login === true, issuedAt, isExpired };
}

function isAction(value: unknown): value is LinkAction {
  return value === 'approve' || value === 'deny' || value === 'view';
}

function invalid(why: string): DurableError {
  return new DurableError(
    'invalid_argument',
    `Cannot make links to an approval: ${why}. Write approval.links({ to: "ada", url: "https://shop.example/api" }).`,
  );
}
