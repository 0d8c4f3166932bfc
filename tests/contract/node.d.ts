// The little of Node.js that client.mjs uses, so that no package of types is needed for it.
declare module "node:util" {
    export function parseArgs(config: { options: Record<string, { type: "string" }> }): {
        values: Record<string, string | undefined>;
    };
}
