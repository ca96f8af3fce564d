// What a rendered dashboard must be: the types that Grafana publishes, with the options of each kind of panel, and with
// names in the place of enumerations, since that is how they stand in JSON.
import type * as g from '@grafana/schema';
import type { Dashboard, AnnotationQuery, RowPanel, Panel } from '@grafana/schema';
import type * as timeseries from './node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import type * as stat from './node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as gauge from './node_modules/@grafana/schema/dist/types/raw/composable/gauge/panelcfg/x/types.gen';
import type * as table from './node_modules/@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type * as bargauge from './node_modules/@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import type * as heatmap from './node_modules/@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen';
import type * as state from './node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen';
import type * as logs from './node_modules/@grafana/schema/dist/types/raw/composable/logs/panelcfg/x/types.gen';
import type * as text from './node_modules/@grafana/schema/dist/types/raw/composable/text/panelcfg/x/types.gen';

type Names<T> = T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends (infer Item)[]
        ? Names<Item>[]
        : T extends object
          ? { [Key in keyof T]: Names<T[Key]> }
          : T;

// Of Prometheus' data source Grafana publishes no type; these are the fields of its query editor.
type Prometheus = {
    refId: string;
    datasource: { type: 'prometheus'; uid: 'prometheus' };
    expr: string;
    legendFormat: string;
    editorMode: 'code' | 'builder';
    format: 'time_series' | 'table' | 'heatmap';
    instant: boolean;
    range: boolean;
    exemplar: boolean;
};
type Loki = {
    refId: string;
    datasource: { type: 'loki'; uid: 'loki' };
    expr: string;
    queryType: 'range' | 'instant';
    maxLines: number;
};

type Field<Custom> = Omit<g.FieldConfig, 'custom'> & { custom?: Custom };
type Placed = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'id' | 'gridPos' | 'title'> &
    Required<Pick<Panel, 'id' | 'gridPos' | 'title'>>;
type Kind<Type extends string, Options, Custom, Target> = Placed & {
    type: Type;
    options: Options;
    fieldConfig?: { defaults: Field<Custom>; overrides: [] };
    targets?: Target[];
};
// Of a cell only the two ways are used that need no further options.
type Cell = Omit<table.FieldConfig, 'cellOptions' | 'align'> & {
    align: 'left' | 'auto';
    cellOptions: { type: 'auto' } | { type: 'color-text' };
};

type Any =
    | Kind<'timeseries', timeseries.Options, timeseries.FieldConfig, Prometheus>
    | Kind<'stat', stat.Options, never, Prometheus>
    | Kind<'gauge', gauge.Options, never, Prometheus>
    | Kind<'table', table.Options, Cell, Prometheus>
    | Kind<'bargauge', bargauge.Options, never, Prometheus>
    | Kind<'heatmap', heatmap.Options, heatmap.FieldConfig, Prometheus>
    | Kind<'state-timeline', state.Options, state.FieldConfig, Prometheus>
    | Kind<'logs', logs.Options, never, Loki>
    | Kind<'text', text.Options, never, never>;

type Annotation = Omit<AnnotationQuery, 'target'> & {
    target: { refId: string; expr: string };
    titleFormat: string;
    textFormat: string;
    tagKeys: string;
    useValueForTime: boolean;
};

export type Page = Names<
    Omit<Dashboard, 'panels' | 'annotations'> & {
        uid: string;
        title: string;
        panels: (Any | (Omit<RowPanel, 'panels'> & { panels: Any[] }))[];
        annotations: { list: Annotation[] };
    }
>;
