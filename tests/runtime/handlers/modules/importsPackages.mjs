import plain from 'plain-package';
import { kind } from 'dual-package';
export const handler = async () => ({ plain: plain.name, kind });
