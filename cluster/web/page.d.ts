/** A page imports these files relative to its own URL; here they are in the folder of another name. */
declare module "*/cluster/cluster.js" {
  export * from "cluster-web/cluster.js";
}
declare module "*/cluster/dev-panel.js" {
  export * from "cluster-web/dev-panel.js";
}
declare module "*/cluster/types.d.ts" {
  export * from "cluster-web/types.d.ts";
}
