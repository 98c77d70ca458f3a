//! S3, against a server that `tests/run` starts; what it holds is read by boto3.

use crate::support::{Project, env, people, python};

pub fn connection(bucket: &str) -> String {
    let endpoint = env("DXT_TEST_S3_ENDPOINT");
    format!(
        "{{url: 's3://{bucket}/lake', options: {{aws_endpoint: '{endpoint}', aws_access_key_id: testing, aws_secret_access_key: testing-secret-key, \
         aws_region: us-east-1, aws_allow_http: 'true'}}}}"
    )
}

pub fn boto(program: &str, bucket: &str) -> String {
    let head = format!(
        "import boto3,sys\ns3=boto3.client('s3',endpoint_url='{}',aws_access_key_id='testing',aws_secret_access_key='x',region_name='us-east-1')\nb='{bucket}'\n",
        env("DXT_TEST_S3_ENDPOINT")
    );
    python(&(head + program), &[])
}

#[test]
fn objects_are_written_whole_appended_by_parts_and_read_by_glob() {
    let bucket = format!("dxt-{}", std::process::id());
    boto("s3.create_bucket(Bucket=b)", &bucket);
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(1)), (2, None, None)]);
    let yaml = |target: &str, mode: &str, fields: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}, lake: {}}}\nstreams:\n  - id: s\n    source: {{connection: files, value: in.parquet}}\n    \
             target: {{connection: lake, value: {target}, options: {{format: parquet}}}}\n    load: {{mode: {mode}}}\n{fields}",
            connection(&bucket)
        )
    };
    project.run(&yaml("one file.parquet", "replace", "")).exits(0);
    project.run(&yaml("parts/", "append", "")).exits(0);
    project.run(&yaml("parts/", "append", "")).exits(0);
    let keys = boto(
        "print(*sorted(o['Key'].split('part-')[0] for o in s3.list_objects_v2(Bucket=b)['Contents']), sep='\\n')",
        &bucket,
    );
    assert_eq!(keys, "lake/one file.parquet\nlake/parts/\nlake/parts/");
    let rows = "import io,pyarrow.parquet as pq\nprint(pq.read_table(io.BytesIO(s3.get_object(Bucket=b,Key='lake/one file.parquet')['Body'].read())).to_pylist())";
    assert_eq!(boto(rows, &bucket), "[{'id': 1, 'name': 'a', 'v': 1}, {'id': 2, 'name': None, 'v': None}]");

    // A load that fails leaves what was there, and no part of its own.
    project.run(&yaml("one file.parquet", "replace", "    fields: [{id: name, dtype: int64}]\n")).exits(1);
    project.run(&yaml("parts/", "append", "    fields: [id, {id: name, dtype: int64}, v]\n")).exits(1);
    assert_eq!(
        boto(
            "print(len(s3.list_objects_v2(Bucket=b)['Contents']), len(s3.list_multipart_uploads(Bucket=b).get('Uploads', [])))",
            &bucket
        ),
        "3 0"
    );

    let ran = project
        .dxt(&[
            "query",
            "SELECT count(*) AS n, sum(id) AS s FROM lake.\"parts/*.parquet\"",
            "p.yaml",
            "--format",
            "csv",
        ])
        .exits(0);
    assert_eq!(ran.out, "n,s\n4,6\n");
    // Many objects cannot be replaced at once there: refused beforehand, with the way out.
    let ran = project.run(&yaml("parts/", "replace", ""));
    assert_ne!(ran.code, 0);
    assert!((ran.out.clone() + &ran.err).contains("one file"), "{} {}", ran.out, ran.err);
    assert!(!(ran.out + &ran.err).contains("testing-secret-key"));
}

#[test]
fn a_file_is_read_over_http() {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = b"id,name\n1,a\n2,b\n".to_vec();
    // Answers HEAD and GET (whole or a range) until the test ends.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut range) = (String::new(), None);
            reader.read_line(&mut line).unwrap();
            let head = line.starts_with("HEAD");
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header).unwrap_or(0) <= 2 {
                    break;
                }
                if let Some(r) = header.to_lowercase().strip_prefix("range: bytes=") {
                    let (a, b) = r.trim().split_once('-').unwrap();
                    range = Some((
                        a.parse::<usize>().unwrap(),
                        b.parse::<usize>().map_or(body.len(), |b| (b + 1).min(body.len())),
                    ));
                }
            }
            let (status, part) = match range {
                Some((a, b)) => {
                    (format!("206 Partial Content\r\nContent-Range: bytes {a}-{}/{}", b - 1, body.len()), &body[a..b])
                }
                None => ("200 OK".to_string(), &body[..]),
            };
            let headers = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nConnection: close\r\n\r\n",
                part.len()
            );
            let _ = stream.write_all(headers.as_bytes());
            if !head {
                let _ = stream.write_all(part);
            }
            let _ = stream.flush();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
        }
    });
    let project = Project::new();
    let yaml = format!(
        "version: 1\nname: p\nconnections: {{web: {{url: 'http://127.0.0.1:{port}/data', options: {{allow_http: 'true'}}}}, db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    \
         source: {{connection: web, value: people.csv}}\n    target: {{connection: db, value: t}}\n    load: {{mode: replace}}\n"
    );
    assert_eq!(project.run(&yaml).exits(0).counts("s"), [2, 2, 0, 0]);
    assert_eq!(crate::support::sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1|a\n2|b");
}
